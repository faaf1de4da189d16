"""Return streams with Django under ASGI."""

from __future__ import annotations

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from tests.frameworks.streams import VIEWS


async def read(request: HttpRequest, view: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(await VIEWS[view]())


urlpatterns = [path("<view>", read)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="only for this test")
app = get_asgi_application()
