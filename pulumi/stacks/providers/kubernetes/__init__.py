"""A resource provider for Kubernetes that stands in where Pulumi's own can't be had.

It answers to the same name and resource types as Pulumi's provider, so programs written with the
`pulumi_kubernetes` package run with either. It is smaller, and says so when asked for more:

- Objects of any kind, built in or custom, by server-side apply under one field manager; `*Patch` and
  `*List` types, `helm.sh/v4`, `kustomize` and `yaml` are refused.
- A difference is what a server-side dry run would change in the live object: drift shows without a refresh.
- An object without a name gets the name of its resource, with nothing random added; a replacement deletes
  first.
- It waits until workloads are ready and reports what pods, events and conditions say when they aren't. The
  annotations `pulumi.com/skipAwait`, `pulumi.com/timeoutSeconds` and `pulumi.com/patchForce` are honoured.
- `helm.sh/v3:Release` takes charts from local folders and runs the helm program; values go through its
  standard input. A refresh compares every object of a release with the cluster.

It has been tried with the charts and objects of this repository, not with everything that a cluster may
hold. Sites of environment production are refused: there the official provider is required (`refuse_in`).
"""

from stacks.providers.kubernetes.refusal import UnsuitableProviderError, refuse_in

__all__ = ["UnsuitableProviderError", "refuse_in"]
