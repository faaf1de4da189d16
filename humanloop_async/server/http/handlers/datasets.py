"""``/datasets``, those of a project, and ``/datapoints``."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from .... import types as t
from ....wire.operations import datasets as ops
from ...errors import ApiError, InvalidRequest
from ...records.datapoints import new_datapoints
from ...storage import portions
from ...storage.datasets import (
    Dataset,
    add_datapoints,
    add_dataset,
    change_datapoint,
    datapoints_by_id,
    dataset_by_id,
    dataset_ids_of,
    dataset_responses,
    delete_datapoints,
    delete_dataset,
    has_evaluations,
    lock_datasets,
    page_of_datapoints,
    update_dataset,
)
from ..calls import ApiCall, Batch, handles, handles_batch
from ..requests import MAX_BATCH
from .lookups import find_project, lock_project


@handles(ops.LIST_PROJECT_DATASETS)
async def list_of_project(call: ApiCall[None, None]) -> list[t.DatasetResponse]:
    async with call.service.database.read() as connection:
        project = await find_project(connection, call.path["project_id"])
        return await dataset_responses(connection, project_id=project.id)


@handles(ops.CREATE_DATASET)
async def create(call: ApiCall[t.CreateDatasetRequest, None]) -> t.DatasetResponse:
    async with call.service.database.write() as connection:
        project = await lock_project(connection, call.path["project_id"])
        dataset_id = await add_dataset(connection, project.id, call.body.name, call.body.description)
        return await _response(connection, dataset_id)


@handles(ops.LIST_DATASETS)
async def list_datasets(call: ApiCall[None, None]) -> list[t.DatasetResponse]:
    async with call.service.database.read() as connection:
        return await dataset_responses(connection)


@handles(ops.GET_DATASET)
async def get_dataset(call: ApiCall[None, None]) -> t.DatasetResponse:
    async with call.service.database.read() as connection:
        return await _response(connection, call.path["id"])


@handles(ops.UPDATE_DATASET)
async def update(call: ApiCall[t.UpdateDatasetRequest, None]) -> t.DatasetResponse:
    columns = {"name": call.body.name, "description": call.body.description}
    async with call.service.database.write() as connection:
        dataset = await _lock(connection, call.path["id"])
        await update_dataset(
            connection, dataset.id, {name: value for name, value in columns.items() if value is not None}
        )
        return await _response(connection, dataset.id)


@handles(ops.DELETE_DATASET)
async def delete(call: ApiCall[None, None]) -> None:
    async with call.service.database.read() as connection:
        is_evaluated = await has_evaluations(connection, call.path["id"])
    if not is_evaluated:
        await portions.delete_datapoints(call.service.database, call.path["id"])
    async with call.service.database.write() as connection:
        await delete_dataset(connection, await _lock(connection, call.path["id"]))


@handles(ops.LIST_DATAPOINTS)
async def list_datapoints(call: ApiCall[None, t.ListDatapointsQuery]) -> t.PaginatedData[t.DatapointResponse]:
    query = call.query
    async with call.service.database.read() as connection:
        dataset = await dataset_by_id(connection, call.path["dataset_id"])
        if dataset is None:
            raise _unknown(call.path["dataset_id"])
        version = dataset.version if query.version is None else query.version
        if not 0 < version <= dataset.version:
            raise ApiError(404, f"the dataset has no version {version}; its versions are 1 to {dataset.version}")
        records, total = await page_of_datapoints(
            connection, dataset, version, skip=query.page * query.size, size=query.size
        )
    return t.PaginatedData(records=records, page=query.page, size=query.size, total=total)


@handles_batch(ops.CREATE_DATAPOINTS)
async def create_datapoints(call: ApiCall[Batch[t.CreateDatapointRequest], None]) -> list[t.DatapointResponse]:
    async with call.service.database.write() as connection:
        dataset = await _lock(connection, call.path["dataset_id"])
        ids = await add_datapoints(connection, dataset, await new_datapoints(connection, call.body, MAX_BATCH))
        return await datapoints_by_id(connection, ids)


@handles(ops.GET_DATAPOINT)
async def get_datapoint(call: ApiCall[None, None]) -> t.DatapointResponse:
    async with call.service.database.read() as connection:
        return await _datapoint(connection, call.path["id"])


@handles(ops.UPDATE_DATAPOINT)
async def update_datapoint(call: ApiCall[t.UpdateDatapointRequest, None]) -> t.DatapointResponse:
    body, datapoint_id = call.body, call.path["id"]
    fields = {"inputs": body.inputs, "messages": body.messages, "target": body.target}
    changes = {name: value for name, value in fields.items() if value is not None}
    async with call.service.database.write() as connection:
        for dataset in await lock_datasets(connection, await dataset_ids_of(connection, [datapoint_id])):
            await change_datapoint(connection, dataset, datapoint_id, changes)
        return await _datapoint(connection, datapoint_id)


@handles(ops.DELETE_DATAPOINTS)
async def remove_datapoints(call: ApiCall[list[str], None]) -> None:
    ids = call.body
    if not 0 < len(ids) <= MAX_BATCH:
        raise InvalidRequest.at(msg=f"has {len(ids)} ids; send 1 to {MAX_BATCH}")
    async with call.service.database.write() as connection:
        for dataset in await lock_datasets(connection, await dataset_ids_of(connection, ids)):
            await delete_datapoints(connection, dataset, ids)


async def _response(connection: AsyncConnection, dataset_id: str) -> t.DatasetResponse:
    responses = await dataset_responses(connection, ids=[dataset_id])
    if not responses:
        raise _unknown(dataset_id)
    return responses[0]


async def _lock(connection: AsyncConnection, dataset_id: str) -> Dataset:
    datasets = await lock_datasets(connection, [dataset_id])
    if not datasets:
        raise _unknown(dataset_id)
    return datasets[0]


async def _datapoint(connection: AsyncConnection, datapoint_id: str) -> t.DatapointResponse:
    datapoints = await datapoints_by_id(connection, [datapoint_id])
    if not datapoints:
        raise ApiError(404, f"there is no datapoint {datapoint_id!r:.80}")
    return datapoints[0]


def _unknown(dataset_id: str) -> ApiError:
    return ApiError(404, f"there is no dataset {dataset_id!r:.80}")
