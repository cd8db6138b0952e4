"""The Docker Engine API over the whole cluster, for the docker CLI, compose and the SDKs as they are."""
