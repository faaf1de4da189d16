"""Datasets and datapoints."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import Operation, rows

LIST_PROJECT_DATASETS = Operation(
    "Datasets_listAllForProject",
    "GET",
    "/projects/{project_id}/datasets",
    NoneType,
    t.ResponseList[t.DatasetResponse],
    "List a project's datasets, newest first.",
    "Deprecated by v4 in favour of `datasets.list`.",
)
CREATE_DATASET = Operation(
    "Datasets_create",
    "POST",
    "/projects/{project_id}/datasets",
    t.CreateDatasetRequest,
    t.DatasetResponse,
    "Create an empty dataset.",
    status=201,
    creates=True,
)
LIST_DATASETS = Operation(
    "Datasets_list",
    "GET",
    "/datasets",
    NoneType,
    t.ResponseList[t.DatasetResponse],
    "List the datasets of all projects, newest first.",
)
GET_DATASET = Operation("Datasets_get", "GET", "/datasets/{id}", NoneType, t.DatasetResponse, "Get a dataset.")
UPDATE_DATASET = Operation(
    "Datasets_update",
    "PATCH",
    "/datasets/{id}",
    t.UpdateDatasetRequest,
    t.DatasetResponse,
    "Change the name or the description of a dataset.",
)
DELETE_DATASET = Operation(
    "Datasets_delete",
    "DELETE",
    "/datasets/{id}",
    NoneType,
    NoneType,
    "Delete a dataset with all versions of its datapoints.",
)
LIST_DATAPOINTS = Operation(
    "Datasets_listDatapoints",
    "GET",
    "/datasets/{dataset_id}/datapoints",
    NoneType,
    t.PaginatedData[t.DatapointResponse],
    "List a dataset's datapoints, in the order in which they were added.",
    query=t.ListDatapointsQuery,
)
CREATE_DATAPOINTS = Operation(
    "Datasets_createDatapoint",
    "POST",
    "/datasets/{dataset_id}/datapoints",
    t.CreateDatapointRequest,
    t.ResponseList[t.DatapointResponse],
    "Add one datapoint or a list of them to a dataset: all or none.",
    "This creates a new version of the dataset.",
    status=201,
    batch=True,
    creates=True,
)
GET_DATAPOINT = Operation(
    "Datapoints_get", "GET", "/datapoints/{id}", NoneType, t.DatapointResponse, "Get the current form of a datapoint."
)
UPDATE_DATAPOINT = Operation(
    "Datapoints_update",
    "PATCH",
    "/datapoints/{id}",
    t.UpdateDatapointRequest,
    t.DatapointResponse,
    "Change a datapoint.",
    "This creates a new version of its dataset; earlier versions keep the datapoint as it was.",
)
DELETE_DATAPOINTS = Operation(
    "Datapoints_delete",
    "DELETE",
    "/datapoints",
    list[str],
    NoneType,
    "Delete datapoints by their ids; unknown ids are ignored.",
    "This creates a new version of their datasets; earlier versions keep the datapoints.",
    status=204,
)

DATASET_OPERATIONS = rows(globals())
