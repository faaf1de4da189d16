"""Run evaluations: generate logs for datapoints, and have evaluators judge logs."""
