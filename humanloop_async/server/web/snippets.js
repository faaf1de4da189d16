// Lines of Python for the next step, with the address of this server filled in. The key is left to the environment.

/** Write a JSON value as a Python literal. */
export function python(value, indent = "") {
  const inner = `${indent}    `;
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Array.isArray(value)
    ? value.map((item) => python(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length < 70 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${indent}${close}`;
}

function clientLine(baseUrl) {
  return `from humanloop_async import Humanloop\n\nclient = Humanloop(base_url=${JSON.stringify(baseUrl)})  # key: HUMANLOOP_API_KEY\n`;
}

/** The call of the playground. */
export function pythonCall(baseUrl, endpoint, body) {
  const method = endpoint === "chat" ? "chat_stream" : "complete_stream";
  const fields = Object.entries(body).filter(([name]) => name !== "source" && name !== "session_reference_id");
  const lines = fields.map(([name, value]) => `    ${name}=${python(value, "    ")},\n`).join("");
  return `${clientLine(baseUrl)}
with client.${method}(
${lines}) as stream:
    for chunk in stream:
        print(chunk.index, chunk.output)
`;
}

export function firstLog(baseUrl, project) {
  return `${clientLine(baseUrl)}
client.chat(
    project=${JSON.stringify(project)},
    model_config={"provider": "mock", "model": "any"},
    messages=[{"role": "user", "content": "Hello"}],
)
`;
}

export function registerConfig(baseUrl, project) {
  return `${clientLine(baseUrl)}
client.model_configs.register(
    project=${JSON.stringify(project)},
    provider="openai",
    model="gpt-4o-mini",
    endpoint="chat",
    chat_template=[{"role": "system", "content": "Answer in {{language}}."}],
)
`;
}

export function sessionCall(baseUrl, project) {
  return `${clientLine(baseUrl)}
client.chat(
    project=${JSON.stringify(project)},
    session_reference_id="conversation-1",
    model_config={"provider": "mock", "model": "any"},
    messages=[{"role": "user", "content": "Hello"}],
)
`;
}

export function createExperiment(baseUrl, projectId, configIds) {
  const ids = configIds.length > 1 ? configIds.slice(0, 2) : ["config_...", "config_..."];
  return `${clientLine(baseUrl)}
client.experiments.create(
    project_id=${JSON.stringify(projectId)},
    name="shorter prompt",
    positive_labels=[{"type": "rating", "value": "good"}],
    config_ids=${JSON.stringify(ids)},
)
`;
}

export function createDataset(baseUrl, projectId) {
  return `${clientLine(baseUrl)}
dataset = client.datasets.create(${JSON.stringify(projectId)}, name="questions", description="")
client.datasets.create_datapoint(dataset.id, inputs={"name": "Ada"}, target={"output": "Hello Ada"})
`;
}

export function createEvaluation(baseUrl, projectId) {
  return `${clientLine(baseUrl)}
evaluator = client.evaluators.create(
    name="exact match",
    description="",
    type="python",
    arguments_type="target_required",
    return_type="boolean",
    code="def exact(log, testcase):\\n    return log['output'] == testcase['target']['output']",
)
client.evaluations.create(
    ${JSON.stringify(projectId)}, config_id="config_...", dataset_id="evts_...", evaluator_ids=[evaluator.id]
)
`;
}
