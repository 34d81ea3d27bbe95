"""Runs a small real pipeline on Kubeflow Pipelines from a pod of a profile namespace, and checks what it computed.

Uses the token that the PodDefault `access-ml-pipeline` (or the one that the operator makes for `pipelineAccess`) puts
into the pod. Two runs: one that must succeed, whose second step compares the first step's result with a value computed
here in another way; and one told a wrong value, which must fail. Were steps not executed, one of the two would tell.
"""

import base64
import json
import os
import socket

from kfp import Client, dsl
from kfp.client import ServiceAccountTokenVolumeCredentials

HOST = os.environ.get("KF_PIPELINES_ENDPOINT", "http://ml-pipeline.kubeflow.svc.cluster.local:8888")
TOKEN = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", "/var/run/secrets/kubeflow/pipelines/token")
IMAGE = os.environ.get("PIPELINE_STEP_IMAGE", "python:3.12-slim")
LIMIT = 1000
DEADLINE_SECONDS = 600


@dsl.component(base_image=IMAGE)
def sum_of_squares(limit: int) -> int:
    """Adds up the squares from 1 to `limit`, one by one."""
    total = 0
    for number in range(1, limit + 1):
        total += number * number
    print(f"sum of squares up to {limit}: {total}")
    return total


@dsl.component(base_image=IMAGE)
def expect(total: int, expected: int):
    """Fails the run unless both are the same."""
    if total != expected:
        raise ValueError(f"computed {total}, expected {expected}")
    print(f"{total} is as expected")


@dsl.pipeline(name="squares-checked")
def squares(limit: int, expected: int):
    """Computes, then compares."""
    expect(total=sum_of_squares(limit=limit).output, expected=expected)


def claims_of(path):
    """What a service-account token says of itself. The server verifies it; here it is only read."""
    with open(path, encoding="utf-8") as file:
        payload = file.read().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def run(client, namespace, expected):
    """The finished run of the pipeline with this expectation."""
    started = client.create_run_from_pipeline_func(
        squares,
        arguments={"limit": LIMIT, "expected": expected},
        experiment_name="kubeflow-e2e",
        namespace=namespace,
        enable_caching=False,
    )
    finished = client.wait_for_run_completion(started.run_id, timeout=DEADLINE_SECONDS, sleep_duration=1)
    print(f"run {finished.run_id} with expected={expected}: {finished.state}")
    return finished


def main():
    """Raises unless both runs end as they must."""
    claims = claims_of(TOKEN)
    namespace = claims["kubernetes.io"]["namespace"]
    print(f"pod: {socket.gethostname()}")
    print(f"caller: {claims['sub']}, audience {claims['aud']}")
    assert claims["aud"] == ["pipelines.kubeflow.org"], f"the token's audience is {claims['aud']}"

    client = Client(host=HOST, credentials=ServiceAccountTokenVolumeCredentials(TOKEN))
    expected = LIMIT * (LIMIT + 1) * (2 * LIMIT + 1) // 6
    print(f"computed here by the closed formula: {expected}")

    right = run(client, namespace, expected)
    assert right.state == "SUCCEEDED", (
        f"run {right.run_id} is {right.state}; its steps' pods carry the label pipeline/runid={right.run_id}"
    )
    wrong = run(client, namespace, expected + 1)
    assert wrong.state == "FAILED", (
        f"run {wrong.run_id} was told a wrong value and is {wrong.state}: were its steps executed?"
    )
    print("both runs ended as they must")


if __name__ == "__main__":
    main()
