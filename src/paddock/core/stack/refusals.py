"""What a compose file can say and a cluster of Linux hosts cannot do: told before anything starts."""

from __future__ import annotations

from .findings import Service, nearest

_REFUSED = {
    "credential_spec": ("is for Windows containers", "leave it away"),
    "external_links": ("links to containers outside the stack are not possible", "share an external network with them"),
    "models": ("there is no model runner on the hosts", "run the model as a service of its own"),
    "post_start": ("commands run from outside after the start are not supported", "use the entrypoint"),
    "pre_start": ("commands run from outside before the start are not supported", "use a job and depends_on"),
    "pre_stop": ("commands run from outside before the stop are not supported", "handle the stop signal"),
    "provider": ("is run by a plugin on the machine you are on, not by the cluster", "describe it as a container"),
    "use_api_socket": ("there is no one engine socket in a cluster", "mount /var/run/docker.sock of the host"),
}
_NOTED = {
    "develop": "is for `docker compose watch` and has no effect here",
}
_WORDS = """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset depends_on deploy
    develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
    extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address
    mem_limit mem_reservation mem_swappiness memswap_limit name network_mode networks oom_kill_disable oom_score_adj pid
    pids_limit platform ports privileged profiles pull_policy read_only restart runtime scale secrets security_opt
    shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits user userns_mode uts volumes
    volume_driver volumes_from working_dir
"""
_TRANSLATED = tuple(_WORDS.split())


def check(service: Service) -> None:
    config = service.config
    for key in config:
        if key in _REFUSED and config[key]:
            service.problem(key, message=_REFUSED[key][0], hint=_REFUSED[key][1])
        elif key not in _TRANSLATED and key not in _REFUSED and not key.startswith("x-"):
            hint = nearest(key, _TRANSLATED)
            service.warn(key, message=f"is not supported and has no effect{f': {hint}' if hint else ''}")
    for key, note in _NOTED.items():
        if config.get(key):
            service.warn(key, message=note)
    if not config.get("image") and not config.get("build") and not config.get("provider"):
        service.problem("image", message="is missing", hint="name the image to run, or say how to build it")
    if config.get("isolation") not in (None, "", "default"):
        service.problem("isolation", message=f"{config['isolation']!r} is for Windows containers", hint="leave it away")
    if service.deploy.get("endpoint_mode") == "vip":
        message = "a name answers with the addresses of all its containers; there is no virtual address"
        service.warn("deploy", "endpoint_mode", message=message)
