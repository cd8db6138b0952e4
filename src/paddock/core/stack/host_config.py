"""The `HostConfig` of a create body. Key for key what docker compose 2.26 sends (pkg/compose/create.go)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .findings import Json, Service
from .quantities import cpu_percent, nano_cpus, whole

_AS_WRITTEN = {
    "annotations": "Annotations",
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "cgroup": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "cpu_count": "CpuCount",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpu_shares": "CpuShares",
    "cpuset": "CpusetCpus",
    "device_cgroup_rules": "DeviceCgroupRules",
    "dns": "Dns",
    "dns_opt": "DnsOptions",
    "dns_search": "DnsSearch",
    "group_add": "GroupAdd",
    "isolation": "Isolation",
    "oom_score_adj": "OomScoreAdj",
    "pids_limit": "PidsLimit",
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "runtime": "Runtime",
    "storage_opt": "StorageOpt",
    "sysctls": "Sysctls",
    "userns_mode": "UsernsMode",
    "uts": "UTSMode",
    "volume_driver": "VolumeDriver",
}
_NUMBERS = {
    "mem_limit": "Memory",
    "memswap_limit": "MemorySwap",
    "mem_swappiness": "MemorySwappiness",
    "mem_reservation": "MemoryReservation",
    "shm_size": "ShmSize",
}


def host_config(service: Service, read_file: Callable[[str], bytes]) -> dict[str, Any]:
    """Without what is typed in a spec: networks, ports, named volumes, files, what is shared with other services."""
    config = service.config
    body: dict[str, Any] = {"OomKillDisable": bool(config.get("oom_kill_disable"))}
    body |= {key: config[name] for name, key in _AS_WRITTEN.items() if config.get(name)}
    body |= {key: whole(config[name]) for name, key in _NUMBERS.items() if whole(config.get(name))}
    if config.get("init") is not None:
        body["Init"] = config["init"]
    if extra_hosts := _extra_hosts(config):
        body["ExtraHosts"] = extra_hosts
    if tmpfs := config.get("tmpfs"):
        body["Tmpfs"] = dict(_tmpfs(entry) for entry in tmpfs)
    if logging := config.get("logging"):
        body["LogConfig"] = {"Type": logging.get("driver") or "", "Config": dict(logging.get("options") or {})}
    body |= _security(service, read_file)
    return body | _resources(service)


def _extra_hosts(config: Json) -> list[str]:
    hosts = config.get("extra_hosts") or []
    return [":".join(entry.split("=", 1)) if "=" in entry else entry for entry in hosts]


def _tmpfs(entry: str) -> tuple[str, str]:
    target, _, options = entry.partition(":")
    return target, options


def _security(service: Service, read_file: Callable[[str], bytes]) -> dict[str, Any]:
    options: list[str] = []
    body: dict[str, Any] = {}
    for index, option in enumerate(service.config.get("security_opt") or []):
        if option == "systempaths=unconfined":
            body |= {"MaskedPaths": [], "ReadonlyPaths": []}
            continue
        name, value = _split_option(option)
        if not value and name != "no-new-privileges":
            service.problem("security_opt", index, message=f"{option!r} is not NAME=VALUE")
        elif name == "seccomp" and value != "unconfined":
            options.append(_seccomp(service, index, value, read_file))
        else:
            options.append(option)
    return body | ({"SecurityOpt": options} if options else {})


def _split_option(option: str) -> tuple[str, str]:
    name, separator, value = option.partition("=" if "=" in option else ":")
    return (name, value) if separator else (option, "")


def _seccomp(service: Service, index: int, file: str, read_file: Callable[[str], bytes]) -> str:
    """The engine has no way to read the client's file: the profile itself travels."""
    try:
        profile = json.loads(read_file(file))
    except OSError as error:
        service.problem("security_opt", index, message=f"cannot read the seccomp profile {file}: {error.strerror}")
    except ValueError as error:
        service.problem("security_opt", index, message=f"the seccomp profile {file} is not JSON: {error}")
    else:
        return "seccomp=" + json.dumps(profile, separators=(",", ":"), ensure_ascii=False)
    return ""


def _resources(service: Service) -> dict[str, Any]:
    config = service.config
    body: dict[str, Any] = {}
    if config.get("cpus"):
        body["NanoCpus"] = nano_cpus(config["cpus"])
    if config.get("cpu_percent"):
        body["CpuPercent"] = cpu_percent(config["cpu_percent"])
    body |= _blkio(config.get("blkio_config") or {})
    resources = service.deploy.get("resources") or {}
    body |= _limits(resources.get("limits") or {})
    reservations = resources.get("reservations") or {}
    if whole(reservations.get("memory")):
        body["MemoryReservation"] = whole(reservations["memory"])
    devices, requests = _devices(config.get("devices") or [])
    requests = [_device_request(device) for device in reservations.get("devices") or []] + _gpus(config) + requests
    if devices:
        body["Devices"] = devices
    if requests:
        body["DeviceRequests"] = requests
    if ulimits := config.get("ulimits"):
        body["Ulimits"] = [_ulimit(name, ulimits[name]) for name in sorted(ulimits)]
    return body


def _limits(limits: Json) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if whole(limits.get("memory")):
        body["Memory"] = whole(limits["memory"])
    if nano_cpus(limits.get("cpus")):
        body["NanoCpus"] = nano_cpus(limits["cpus"])
    if whole(limits.get("pids")) > 0:
        body["PidsLimit"] = whole(limits["pids"])
    return body


def _blkio(blkio: Json) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if blkio.get("weight"):
        body["BlkioWeight"] = blkio["weight"]
    for name, key, amount in (
        ("weight_device", "BlkioWeightDevice", "Weight"),
        ("device_read_bps", "BlkioDeviceReadBps", "Rate"),
        ("device_read_iops", "BlkioDeviceReadIOps", "Rate"),
        ("device_write_bps", "BlkioDeviceWriteBps", "Rate"),
        ("device_write_iops", "BlkioDeviceWriteIOps", "Rate"),
    ):
        entries = [{key.lower(): value for key, value in entry.items()} for entry in blkio.get(name) or []]
        if entries:
            body[key] = [{"Path": entry["path"], amount: whole(entry[amount.lower()])} for entry in entries]
    return body


def _devices(entries: list[Any]) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """Device mappings, and requests for those named in the Container Device Interface's way (`vendor.com/class=x`)."""
    mappings, cdi = [], []
    for entry in entries:
        if isinstance(entry, str):
            source, target, permissions = [*entry.split(":"), "", ""][:3]
        else:
            source, target, permissions = entry["source"], entry.get("target", ""), entry.get("permissions", "")
        if "=" in source and not source.startswith("/"):
            cdi.append(source)
            continue
        mapping = {"PathOnHost": source, "PathInContainer": target or source, "CgroupPermissions": permissions or "rwm"}
        mappings.append(mapping)
    return mappings, [{"Driver": "cdi", "DeviceIDs": cdi}] if cdi else []


def _device_request(device: Json) -> dict[str, Any]:
    request: dict[str, Any] = {"Capabilities": [list(device.get("capabilities") or [])]}
    for name, key in (("count", "Count"), ("device_ids", "DeviceIDs"), ("driver", "Driver"), ("options", "Options")):
        if device.get(name):
            request[key] = -1 if device[name] == "all" else device[name]
    return request


def _gpus(config: Json) -> list[dict[str, Any]]:
    gpus = config.get("gpus") or []
    entries = [{"count": -1}] if gpus == "all" else gpus
    return [_device_request({**entry, "capabilities": entry.get("capabilities") or ["gpu"]}) for entry in entries]


def _ulimit(name: str, limit: Any) -> dict[str, Any]:
    if isinstance(limit, int):
        return {"Name": name, "Soft": limit, "Hard": limit}
    single = whole(limit.get("single"))
    return {"Name": name, "Soft": whole(limit.get("soft")) or single, "Hard": whole(limit.get("hard")) or single}
