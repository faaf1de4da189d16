"""Projects, their configurations, deployments and experiments."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import AnyOperation, Operation

REGISTER_MODEL_CONFIG = Operation(
    "ModelConfigs_register",
    "POST",
    "/model-configs",
    t.ProjectModelConfigRequest,
    t.ProjectConfigResponse,
    "Add a model configuration to a project; the project's first one is deployed.",
    creates=True,
)
GET_MODEL_CONFIG = Operation(
    "ModelConfigs_get", "GET", "/model-configs/{id}", NoneType, t.ModelConfigResponse, "One model configuration."
)
LIST_PROJECTS = Operation(
    "Projects_list",
    "GET",
    "/projects",
    NoneType,
    t.PaginatedData[t.ProjectResponse],
    "A page of the projects.",
    query=t.ListProjectsQuery,
)
CREATE_PROJECT = Operation(
    "Projects_create",
    "POST",
    "/projects",
    t.CreateProjectRequest,
    t.ProjectResponse,
    "Create a project.",
    status=201,
    creates=True,
)
GET_PROJECT = Operation("Projects_get", "GET", "/projects/{id}", NoneType, t.ProjectResponse, "One project.")
UPDATE_PROJECT = Operation(
    "Projects_update",
    "PATCH",
    "/projects/{id}",
    t.UpdateProjectRequest,
    t.ProjectResponse,
    "Rename a project, or deploy to its default environment.",
)
DELETE_PROJECT = Operation(
    "Projects_delete", "DELETE", "/projects/{id}", NoneType, NoneType, "Delete a project and what it holds.", status=204
)
LIST_CONFIGS = Operation(
    "Projects_listConfigs",
    "GET",
    "/projects/{id}/configs",
    NoneType,
    t.ResponseList[t.ProjectConfigResponse],
    "A project's configurations.",
    query=t.ListConfigsQuery,
)
GET_ACTIVE_CONFIG = Operation(
    "Projects_getActiveConfig",
    "GET",
    "/projects/{id}/active-config",
    NoneType,
    t.GetModelConfigResponse,
    "The configuration to use in an environment; a sample, when an experiment is deployed.",
    query=t.EnvironmentQuery,
)
DEACTIVATE_CONFIG = Operation(
    "Projects_deactivateConfig",
    "DELETE",
    "/projects/{id}/active-config",
    NoneType,
    t.ProjectResponse,
    "Undeploy an environment's configuration.",
    query=t.EnvironmentQuery,
)
DEACTIVATE_EXPERIMENT = Operation(
    "Projects_deactivateExperiment",
    "DELETE",
    "/projects/{id}/active-experiment",
    NoneType,
    t.ProjectResponse,
    "Undeploy an environment's experiment.",
    query=t.EnvironmentQuery,
)
LIST_DEPLOYED_CONFIGS = Operation(
    "Projects_listDeployedConfigs",
    "GET",
    "/projects/{id}/deployed-configs",
    NoneType,
    t.ResponseList[t.EnvironmentProjectConfigResponse],
    "What is deployed to each environment.",
)
DEPLOY_CONFIG = Operation(
    "Projects_deployConfig",
    "PATCH",
    "/projects/{project_id}/deploy-config",
    t.EnvironmentProjectConfigRequest,
    t.ResponseList[t.EnvironmentProjectConfigResponse],
    "Deploy a configuration or an experiment to environments.",
)
DELETE_DEPLOYED_CONFIG = Operation(
    "Projects_deleteDeployedConfig",
    "DELETE",
    "/projects/{project_id}/deployed-config/{environment_id}",
    NoneType,
    NoneType,
    "Undeploy whatever is deployed to an environment.",
)
EXPORT_PROJECT = Operation(
    "Projects_export",
    "POST",
    "/projects/{id}/export",
    NoneType,
    t.PaginatedData[t.LogResponse],
    "A page of all of a project's logs, newest first.",
    query=t.ExportQuery,
)
LIST_EXPERIMENTS = Operation(
    "Experiments_list",
    "GET",
    "/projects/{project_id}/experiments",
    NoneType,
    t.ResponseList[t.ExperimentResponse],
    "A project's experiments.",
)
CREATE_EXPERIMENT = Operation(
    "Experiments_create",
    "POST",
    "/projects/{project_id}/experiments",
    t.CreateExperimentRequest,
    t.ExperimentResponse,
    "Start to compare configurations of a project.",
    creates=True,
)
UPDATE_EXPERIMENT = Operation(
    "Experiments_update",
    "PATCH",
    "/experiments/{experiment_id}",
    t.UpdateExperimentRequest,
    t.ExperimentResponse,
    "Rename an experiment, or change what it compares.",
)
DELETE_EXPERIMENT = Operation(
    "Experiments_delete",
    "DELETE",
    "/experiments/{experiment_id}",
    NoneType,
    NoneType,
    "Delete an experiment.",
    status=204,
)
SAMPLE_EXPERIMENT = Operation(
    "Experiments_sample",
    "GET",
    "/experiments/{experiment_id}/model-config",
    NoneType,
    t.GetModelConfigResponse,
    "Sample a configuration of an experiment, for a trial.",
)

PROJECT_OPERATIONS: tuple[AnyOperation, ...] = (
    REGISTER_MODEL_CONFIG,
    GET_MODEL_CONFIG,
    LIST_PROJECTS,
    CREATE_PROJECT,
    GET_PROJECT,
    UPDATE_PROJECT,
    DELETE_PROJECT,
    LIST_CONFIGS,
    GET_ACTIVE_CONFIG,
    DEACTIVATE_CONFIG,
    DEACTIVATE_EXPERIMENT,
    LIST_DEPLOYED_CONFIGS,
    DEPLOY_CONFIG,
    DELETE_DEPLOYED_CONFIG,
    EXPORT_PROJECT,
    LIST_EXPERIMENTS,
    CREATE_EXPERIMENT,
    UPDATE_EXPERIMENT,
    DELETE_EXPERIMENT,
    SAMPLE_EXPERIMENT,
)
