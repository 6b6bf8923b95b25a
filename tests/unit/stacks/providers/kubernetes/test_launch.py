"""The engine starts the provider from PATH and finds the version that the SDK asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

from stacks.providers.kubernetes.provider import KubernetesProvider
from stacks.providers.serving import launcher


def test_version_is_the_one_of_the_sdk() -> None:
    assert KubernetesProvider.version == version("pulumi_kubernetes")


def test_launcher_serves_the_provider() -> None:
    program = launcher("kubernetes") / "pulumi-resource-kubernetes"
    environment = {**os.environ, "VIRTUAL_ENV": str(Path(sys.prefix))}
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, env=environment, cwd="/") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty())
        process.terminate()
    assert answer.version == KubernetesProvider.version
