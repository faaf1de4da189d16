"""The table against the v4 document: names, addresses and statuses are contracts with code that exists."""

from __future__ import annotations

import pytest

from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS, AnyOperation

DOCUMENTED = """
Chats_create                      POST   /chat                                                       200
Chats_createDeployed              POST   /chat-deployed                                              200
Chats_createExperiment            POST   /chat-experiment                                            200
Chats_createModelConfig           POST   /chat-model-config                                          200
Completions_create                POST   /completion                                                 200
Completions_createDeployed        POST   /completion-deployed                                        200
Completions_createExperiment      POST   /completion-experiment                                      200
Completions_createModelConfig     POST   /completion-model-config                                    200
Datapoints_delete                 DELETE /datapoints                                                  204
Datapoints_get                    GET    /datapoints/{id}                                             200
Datapoints_update                 PATCH  /datapoints/{id}                                             200
Datasets_create                   POST   /projects/{project_id}/datasets                              201
Datasets_createDatapoint          POST   /datasets/{dataset_id}/datapoints                            201
Datasets_delete                   DELETE /datasets/{id}                                               200
Datasets_get                      GET    /datasets/{id}                                               200
Datasets_list                     GET    /datasets                                                    200
Datasets_listAllForProject        GET    /projects/{project_id}/datasets                              200
Datasets_listDatapoints           GET    /datasets/{dataset_id}/datapoints                            200
Datasets_update                   PATCH  /datasets/{id}                                               200
Evaluations_addEvaluators         PATCH  /evaluations/{id}/evaluators                                200
Evaluations_create                POST   /projects/{project_id}/evaluations                          201
Evaluations_get                   GET    /evaluations/{id}                                           200
Evaluations_list                  GET    /evaluations                                                200
Evaluations_listAllForProject     GET    /projects/{project_id}/evaluations                          200
Evaluations_listDatapoints        GET    /evaluations/{id}/datapoints                                200
Evaluations_log                   POST   /evaluations/{evaluation_id}/log                            201
Evaluations_result                POST   /evaluations/{evaluation_id}/result                         201
Evaluations_updateStatus          PATCH  /evaluations/{id}/status                                    200
Evaluators_create                 POST   /evaluators                                                 201
Evaluators_delete                 DELETE /evaluators/{id}                                            204
Evaluators_get                    GET    /evaluators/{id}                                            200
Evaluators_list                   GET    /evaluators                                                 200
Evaluators_update                 PATCH  /evaluators/{id}                                            200
Experiments_create                POST   /projects/{project_id}/experiments                          200
Experiments_delete                DELETE /experiments/{experiment_id}                                204
Experiments_list                  GET    /projects/{project_id}/experiments                          200
Experiments_sample                GET    /experiments/{experiment_id}/model-config                   200
Experiments_update                PATCH  /experiments/{experiment_id}                                200
Feedback_feedback                 POST   /feedback                                                   200
Finetunes_create                  POST   /projects/{project_id}/finetunes                             200
Finetunes_listAllForProject       GET    /projects/{project_id}/finetunes                             200
Finetunes_summary                 POST   /projects/{project_id}/finetunes/summary                     200
Finetunes_update                  PATCH  /finetunes/{id}                                              200
Logs_delete                       DELETE /logs                                                       204
Logs_get                          GET    /logs/{id}                                                  200
Logs_list                         GET    /logs                                                       200
Logs_log                          POST   /logs                                                       200
Logs_update                       PATCH  /logs/{id}                                                  200
Logs_updateByRef                  PATCH  /logs                                                       200
ModelConfigs_deserialize          POST   /model-configs/deserialize                                   200
ModelConfigs_export               POST   /model-configs/{id}/export                                   200
ModelConfigs_get                  GET    /model-configs/{id}                                         200
ModelConfigs_register             POST   /model-configs                                              200
ModelConfigs_serialize            POST   /model-configs/serialize                                     200
Projects_create                   POST   /projects                                                   201
Projects_createFeedbackType       POST   /projects/{id}/feedback-types                                201
Projects_deactivateConfig         DELETE /projects/{id}/active-config                                200
Projects_deactivateExperiment     DELETE /projects/{id}/active-experiment                            200
Projects_delete                   DELETE /projects/{id}                                              204
Projects_deleteDeployedConfig     DELETE /projects/{project_id}/deployed-config/{environment_id}     200
Projects_deployConfig             PATCH  /projects/{project_id}/deploy-config                        200
Projects_export                   POST   /projects/{id}/export                                       200
Projects_get                      GET    /projects/{id}                                              200
Projects_getActiveConfig          GET    /projects/{id}/active-config                                200
Projects_list                     GET    /projects                                                   200
Projects_listConfigs              GET    /projects/{id}/configs                                      200
Projects_listDeployedConfigs      GET    /projects/{id}/deployed-configs                             200
Projects_update                   PATCH  /projects/{id}                                              200
Projects_updateFeedbackTypes      PATCH  /projects/{id}/feedback-types                                200
Sessions_create                   POST   /sessions                                                   201
Sessions_get                      GET    /sessions/{id}                                              200
Sessions_list                     GET    /sessions                                                   200
"""


def test_the_table_is_the_document() -> None:
    rows = sorted((op.id, op.method, op.path, str(op.status)) for op in OPERATIONS)
    assert rows == [tuple(line.split()) for line in DOCUMENTED.strip().splitlines()]


def test_only_what_would_make_two_things_carries_a_key() -> None:
    """Some POSTs only read."""
    creating = {op.id for op in OPERATIONS if op.method == "POST"} - {"Projects_export", "Finetunes_summary"}
    creating -= {"ModelConfigs_export", "ModelConfigs_serialize", "ModelConfigs_deserialize"}
    assert {op.id for op in OPERATIONS if op.creates} == creating


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_an_operation_is_consistent(operation: AnyOperation) -> None:
    assert operation.summary.endswith(".")
    names = [*operation.path_parameters]
    for part in (operation.query, operation.request):
        names += getattr(part, "__struct_fields__", ())
    assert len(set(names)) == len(names), "a keyword of the client must have one place to go to"
    assert (operation.event is not None) == (operation in GENERATION_OPERATIONS)
    if operation.status == 204:
        assert operation.response is type(None)
    if operation.method == "GET" or (operation.method == "DELETE" and operation.id != "Datapoints_delete"):
        assert operation.request is type(None)


def test_paged_lists_begin_where_the_document_says() -> None:
    paged = {op.id: op.first_page for op in OPERATIONS if "page" in getattr(op.query, "__struct_fields__", ())}
    from_0 = ("Projects_list", "Projects_export", "Logs_list", "Datasets_listDatapoints", "Evaluations_list")
    assert paged == dict.fromkeys(from_0, 0) | {"Sessions_list": 1, "Evaluations_listDatapoints": 1}
