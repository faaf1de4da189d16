"""Projects, their configurations, deployments and experiments."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import Operation, rows

REGISTER_MODEL_CONFIG = Operation(
    "ModelConfigs_register",
    "POST",
    "/model-configs",
    t.ProjectModelConfigRequest,
    t.ProjectConfigResponse,
    "Add a model configuration to a project.",
    "The first one of a project is deployed. Registering the same parameters again returns the same id.",
    creates=True,
)
GET_MODEL_CONFIG = Operation(
    "ModelConfigs_get", "GET", "/model-configs/{id}", NoneType, t.ModelConfigResponse, "Get a model configuration."
)
EXPORT_MODEL_CONFIG = Operation(
    "ModelConfigs_export",
    "POST",
    "/model-configs/{id}/export",
    NoneType,
    t.ResponseText,
    "Write a stored model configuration as a ``.prompt`` file.",
)
SERIALIZE_MODEL_CONFIG = Operation(
    "ModelConfigs_serialize",
    "POST",
    "/model-configs/serialize",
    t.SerializeModelConfigRequest,
    t.ResponseText,
    "Write a model configuration as a ``.prompt`` file, without storing it.",
)
DESERIALIZE_MODEL_CONFIG = Operation(
    "ModelConfigs_deserialize",
    "POST",
    "/model-configs/deserialize",
    t.DeserializeModelConfigRequest,
    t.ModelConfigResponse,
    "Read a model configuration from a ``.prompt`` file or from JSON, without storing it.",
    "Its `id` is that of no stored configuration.",
)
LIST_PROJECTS = Operation(
    "Projects_list",
    "GET",
    "/projects",
    NoneType,
    t.PaginatedData[t.ProjectResponse],
    "List the projects, newest first.",
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
    positional=("name",),
)
GET_PROJECT = Operation("Projects_get", "GET", "/projects/{id}", NoneType, t.ProjectResponse, "Get a project.")
UPDATE_PROJECT = Operation(
    "Projects_update",
    "PATCH",
    "/projects/{id}",
    t.UpdateProjectRequest,
    t.ProjectResponse,
    "Rename a project, or deploy a configuration or an experiment to its default environment.",
)
DELETE_PROJECT = Operation(
    "Projects_delete",
    "DELETE",
    "/projects/{id}",
    NoneType,
    NoneType,
    "Delete a project with its logs, configurations and experiments.",
    status=204,
)
LIST_CONFIGS = Operation(
    "Projects_listConfigs",
    "GET",
    "/projects/{id}/configs",
    NoneType,
    t.ResponseList[t.ProjectConfigResponse],
    "List a project's configurations.",
    query=t.ListConfigsQuery,
)
GET_ACTIVE_CONFIG = Operation(
    "Projects_getActiveConfig",
    "GET",
    "/projects/{id}/active-config",
    NoneType,
    t.GetModelConfigResponse,
    "Get the configuration to use in an environment.",
    "If an experiment is deployed, it is a sample, with the `trial_id` to log under.",
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
    "List the environments and their deployed configurations and experiments.",
)
DEPLOY_CONFIG = Operation(
    "Projects_deployConfig",
    "PATCH",
    "/projects/{project_id}/deploy-config",
    t.EnvironmentProjectConfigRequest,
    t.ResponseList[t.EnvironmentProjectConfigResponse],
    "Deploy a configuration or an experiment to environments, replacing the deployed ones.",
)
DELETE_DEPLOYED_CONFIG = Operation(
    "Projects_deleteDeployedConfig",
    "DELETE",
    "/projects/{project_id}/deployed-config/{environment_id}",
    NoneType,
    NoneType,
    "Undeploy the configuration or experiment of an environment.",
)
CREATE_FEEDBACK_TYPE = Operation(
    "Projects_createFeedbackType",
    "POST",
    "/projects/{id}/feedback-types",
    t.FeedbackTypeRequest,
    t.FeedbackTypeModel,
    "Add a type of feedback to a project.",
    status=201,
    creates=True,
)
UPDATE_FEEDBACK_TYPES = Operation(
    "Projects_updateFeedbackTypes",
    "PATCH",
    "/projects/{id}/feedback-types",
    t.FeedbackTypeRequest,
    t.ResponseList[t.FeedbackTypeModel],
    "Add types of feedback, or labels to them, or change the sentiment of labels: all or none.",
    "The response lists all types of the project.",
    batch=True,
)
EXPORT_PROJECT = Operation(
    "Projects_export",
    "POST",
    "/projects/{id}/export",
    NoneType,
    t.PaginatedData[t.LogResponse],
    "List all of a project's logs, newest first.",
    query=t.ExportQuery,
)
LIST_EXPERIMENTS = Operation(
    "Experiments_list",
    "GET",
    "/projects/{project_id}/experiments",
    NoneType,
    t.ResponseList[t.ExperimentResponse],
    "List a project's experiments.",
)
CREATE_EXPERIMENT = Operation(
    "Experiments_create",
    "POST",
    "/projects/{project_id}/experiments",
    t.CreateExperimentRequest,
    t.ExperimentResponse,
    "Create an experiment that compares configurations of a project.",
    creates=True,
)
UPDATE_EXPERIMENT = Operation(
    "Experiments_update",
    "PATCH",
    "/experiments/{experiment_id}",
    t.UpdateExperimentRequest,
    t.ExperimentResponse,
    "Rename an experiment, or change its configurations.",
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
    "Sample a configuration of an experiment.",
    "The response has the `trial_id` to log under.",
)

PROJECT_OPERATIONS = rows(globals())
