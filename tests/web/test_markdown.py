"""Outputs as Markdown: what a hostile text becomes, and the vendored libraries."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer
from humanloop_async.server.http.page import FOLDER
from humanloop_async.server.providers.mock_script import MockReply, MockScript
from tests.web.browser import opened, root, show, write

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = """\
# Title
Some *emphasis*, **strength** and `code`.

1. one
2. two

| a | b |
|---|---|
| 1 | 2 |

```
<b>code</b>
```
[a link](https://example.org/?a=1&b=2)
![an image](https://example.org/a.png)
"""

HOSTILE = [
    "<script>window.hacked=1</script>",
    '<img src="x" onerror="window.hacked=1">',
    "<img src=x onerror=window.hacked=1//",
    "<svg onload=window.hacked=1><script>window.hacked=1</script></svg>",
    "<svg><animate onbegin=window.hacked=1 attributeName=x></svg>",
    "<body onload=window.hacked=1>",
    "<iframe src='javascript:parent.hacked=1'></iframe>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<object data='data:text/html,<script>parent.hacked=1</script>'></object><embed src='javascript:1'>",
    "<form action='/steal'><input name=key><button formaction='javascript:window.hacked=1'>Go</button></form>",
    "<style>* { display: none }</style><p style='position:fixed;inset:0'>over everything</p>",
    "<link rel=stylesheet href=//example.org/a.css><base href=//x>",
    "<meta http-equiv=refresh content='0;url=//example.org'>",
    "<p id=main class=toast data-key=x aria-label=y onclick=window.hacked=1 tabindex=1>clobber</p>",
    "<a href='javascript:window.hacked=1'>a</a> <a href='JaVa&#10;Script:window.hacked=1'>b</a>",
    "[a](javascript:window.hacked=1) [b](data:text/html,<script>window.hacked=1</script>) [c](vbscript:x)",
    "[a](#key=evil) [b](/v4/projects) [c](https:#key=evil) [d](//example.org) [e](blob:x) [f](\x01javascript:x)",
    "![a](javascript:window.hacked=1) ![b](https://example.org/b.png) ![c](data:image/svg+xml,<svg onload=x>)",
    "<img src=https://example.org/a.png srcset='https://example.org/b.png 2x'><picture><source srcset=//x></picture>",
    "<video src=//example.org/a autoplay onplay=window.hacked=1></video><audio src=//x></audio><track src=//x>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.hacked=1&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.hacked=1>",
    "<svg></p><style><a id='</style><img src=1 onerror=window.hacked=1>'>",
    "<noscript><p title='</noscript><img src=x onerror=window.hacked=1>'>",
    "<template><img src=x onerror=window.hacked=1></template>",
    "<xmp><p title='</xmp><img src=x onerror=window.hacked=1>'>",
    "<details open ontoggle=window.hacked=1>x</details><marquee onstart=window.hacked=1>x</marquee>",
    "<x-element is=x></x-element><slot></slot><dialog open>x</dialog><portal src=//x></portal>",
    "`<img src=x onerror=window.hacked=1>`\n\n    <script>window.hacked=1</script>\n",
    '[a](https://example.org "x\\" onmouseover=\\"window.hacked=1")',
    "[a]: javascript:window.hacked=1\n[a]",
    '<javascript:window.hacked=1> <https://example.org/"onmouseover=window.hacked=1>',
]

RENDER = """async (texts) => {
  const { fromMarkdown } = await import("/page/markdown.js");
  const allowed = new Set(["align", "dir", "href", "rel", "start", "target", "title"]);
  const results = [];
  for (const text of texts) {
    const box = document.body.appendChild(document.createElement("div"));
    box.append((await fromMarkdown(text)) ?? "(null)");
    const all = [...box.querySelectorAll("*")];
    results.push({
      tags: [...new Set(all.map((element) => element.localName))],
      attributes: all.flatMap((element) => element.getAttributeNames()).filter((name) => !allowed.has(name)),
      links: [...box.querySelectorAll("[href]")].map((link) => [link.getAttribute("href"), link.rel, link.target]),
      text: box.textContent.trim(),
    });
  }
  return results;
}"""


async def render(page: Page, *texts: str) -> list[dict[str, Any]]:
    await page.get_by_label("Your message").wait_for()
    results: list[dict[str, Any]] = await page.evaluate(RENDER, [*texts])
    return results


async def test_markdown_becomes_elements(page: Page) -> None:
    [result] = await render(page, TEXT)
    assert {"h3", "em", "strong", "code", "ol", "li", "table", "td", "pre", "a"} <= {*result["tags"]}
    assert "<b>code</b>" in result["text"]
    assert result["links"] == [
        ["https://example.org/?a=1&b=2", "noopener noreferrer", "_blank"],
        ["https://example.org/a.png", "noopener noreferrer", "_blank"],
    ]
    assert "an image" in result["text"]


async def test_a_hostile_text_neither_runs_nor_loads_anything(browser: Browser, server: EmbeddedServer) -> None:
    """Each sample alone, and all in one text. The content security policy, which would help, is off."""
    requests: list[str] = []
    async with opened(browser, f"{root(server)}#key={server.api_key}", bypass_csp=True) as page:
        await page.get_by_label("Your message").wait_for()
        page.on("request", lambda request: requests.append(request.url))
        results = await render(page, *HOSTILE, "\n\n".join(HOSTILE))
        await page.wait_for_timeout(200)
        assert await page.evaluate("window.hacked") is None
    kept = {"a", "blockquote", "br", "code", "del", "em", "p", "pre", "strong", "table"}
    for source, result in zip([*HOSTILE, "all"], results, strict=True):
        assert {*result["tags"]} <= kept, source
        assert result["attributes"] == [], source
        for href, rel, _ in result["links"]:
            assert href.startswith("https://example.org"), source
            assert rel == "noopener noreferrer", source
    assert [url for url in requests if "/page/" not in url and "/v4/" not in url] == []


async def test_a_text_that_would_take_long_stays_a_text(page: Page) -> None:
    """A parser's time can grow with the square of a paragraph, or with the depth."""
    results = await render(page, "_a_" * 20_000, ">" * 9_000, "a\n\n" * 50_000, "short")
    assert [result["text"] for result in results] == ["(null)", "(null)", "(null)", "short"]


async def test_the_playground_shows_markdown_when_a_sample_ends(page: Page, script: MockScript) -> None:
    """It is loaded with the first choice only, and the choice stays in the tab."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    script.add(MockReply(prompt="Hello", text="Some **bold** words, of which there are a few.", tokens_per_second=5))
    await write(page, "Hello")
    await page.keyboard.press("Control+Enter")
    await page.get_by_text("1 of 1 sample finished").wait_for()
    assert await page.locator(".sample .text").inner_text() == "Some **bold** words, of which there are a few."
    assert not any("vendor" in url for url in requests)
    box = page.get_by_label("Markdown", exact=True)
    await box.check()
    await page.locator(".sample .markdown strong", has_text="bold").wait_for()
    assert not await page.locator(".sample .text").is_visible()
    await page.get_by_role("button", name="Run").click()
    await page.locator(".sample.running .text", has_text="**bold").wait_for()
    await page.locator(".sample .markdown strong", has_text="bold").wait_for()
    await page.reload()
    await page.get_by_label("Your message").wait_for()
    assert await box.is_checked()
    await box.uncheck()


async def test_a_log_is_shown_as_markdown(page: Page, client: AsyncHumanloop) -> None:
    config: Any = {"type": "model", "model": "m"}
    log = await client.log(
        project="p", config=config, output="An *output*", messages=[{"role": "user", "content": "A *question*"}]
    )
    await show(page, f"#/logs/{log.id}")
    assert await page.locator("em").count() == 0
    await page.get_by_label("Markdown", exact=True).check()
    await page.locator(".message em", has_text="question").wait_for()
    await page.get_by_label("Output").locator("em", has_text="output").wait_for()
    await page.get_by_label("Markdown", exact=True).uncheck()
    assert not await page.locator("em").first.is_visible()
    assert await page.get_by_text("An *output*", exact=True).is_visible()


async def test_markdown_is_accessible(browser: Browser, server: EmbeddedServer, client: AsyncHumanloop) -> None:
    """WCAG 2.2 A and AA, in both colour schemes."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")
    config: Any = {"type": "model", "model": "m"}
    log = await client.log(project="p", config=config, output=TEXT + "\n> quoted\n\n- [x] done\n")
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    for scheme in ("light", "dark"):
        address = f"{root(server)}#key={server.api_key}"
        async with opened(browser, address, color_scheme=scheme, bypass_csp=True) as page:
            await show(page, f"#/logs/{log.id}")
            await page.get_by_label("Markdown", exact=True).check()
            await page.locator("blockquote", has_text="quoted").wait_for()
            found = await axe.Axe().run(page, options=options)
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]] == [], scheme


async def test_vendored_files_are_those_of_their_versions() -> None:
    """The versions file names each file with its hash, the licences, and the packages that they are from."""
    folder = FOLDER / "vendor"
    versions = json.loads((folder / "versions.json").read_text())
    listed = {name: digest for package in versions for name, digest in package["files"].items()}
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del found["versions.json"]
    assert {name: f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in found.items()} == listed
    for package in versions:
        text = "".join(path.read_text() for name, path in found.items() if name.startswith(package["name"]))
        assert f"{package['name']}/LICENSE" in found
        assert package["version"] in text
        assert package["source"].endswith(f"{package['name']}-{package['version']}.tgz")
        assert package["integrity"].startswith("sha512-")
