# SPDX-License-Identifier: Apache-2.0
"""
containerd's CRI plug-in with `atoll-runtime` under some name, driven as a kubelet does: pods with a
network namespace of their own (a plug-in of CNI's protocol brings up loopback in it) and of the
node.
"""
import json
from itertools import count

from . import clients
from .wait import until

READY, NOT_READY = 0, 1
CREATED, RUNNING, EXITED = 0, 1, 2
POD, CONTAINER, NODE = 0, 1, 2

CONFIG = """
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "@/cni"
    conf_dir = "@/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "atoll"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.atoll]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.atoll.options]
        BinaryName = "%"
"""

CNI = r"""#!/bin/sh
cat > /dev/null
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}';;
ADD) nsenter --net="$CNI_NETNS" /bin/busybox ip link set lo up &&
     echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],
            "ips":[{"version":"4","interface":0,"address":"127.0.0.2/8"}]}';;
esac
"""

names = (f"n{i}" for i in count())


def serve(world, build, archive, program):
    """A containerd with the plug-in in the World, and its images; world.socket, world.image."""
    (world.dir / "cni").mkdir()
    (world.dir / "cni/10.conflist").write_text(json.dumps(
        {"cniVersion": "0.4.0", "name": "net", "plugins": [{"type": "only"}]}))
    for name in ("only", "loopback"):
        f = world.dir / "cni" / name
        f.write_text(CNI)
        f.chmod(0o755)
    ctr = clients.containerd(world, build, archive,
                             CONFIG.replace("@", str(world.dir)).replace("%", str(program)))
    for tar in (archive, clients.pause_archive(world.dir)):
        ctr("-n", "k8s.io", "image", "import", tar)
    world.socket = ctr.socket
    world.image = ctr.image


def seen(cri, world):
    """The plug-in learns of images a moment after they are there."""
    for image in (world.image, "localhost/pause:latest"):
        until(lambda: cri.ImageStatus(image={"image": image})["image"], f"{image} is seen")
    return cri


class Pod:
    def __init__(self, cri, world, network, pid=CONTAINER, **linux):
        self.cri, self.world = cri, world
        name = next(names)
        self.logs = world.dir / f"logs-{name}"
        self.logs.mkdir()
        self.config = {
            "metadata": {"name": name, "uid": name, "namespace": "atoll"}, "hostname": name,
            "log_directory": str(self.logs), "labels": {"of": "atoll"},
            "linux": {"cgroup_parent": f"/pods/{name}", **linux, "security_context": {
                "namespace_options": {"network": network, "pid": pid}}},
        }
        if network == NODE:
            del self.config["hostname"]
        self.pid = pid
        self.network = network
        self.id = cri.RunPodSandbox(config=self.config)["pod_sandbox_id"]

    def create(self, *command, resources=None, security=None, **more):
        name = next(names)
        context = {"namespace_options": {"network": self.network, "pid": self.pid},
                   **(security or {})}
        config = {"metadata": {"name": name}, "image": {"image": self.world.image},
                  "command": list(command), "log_path": f"{name}.log", **more,
                  "linux": {"resources": resources or {}, "security_context": context}}
        id = self.cri.CreateContainer(pod_sandbox_id=self.id, config=config,
                                      sandbox_config=self.config)["container_id"]
        return id, self.logs / f"{name}.log"

    def start(self, *command, **more):
        id, log = self.create(*command, **more)
        self.cri.StartContainer(container_id=id)
        return id, log

    def status(self, id):
        return self.cri.ContainerStatus(container_id=id)["status"]

    def ended(self, id, timeout_s=60):
        until(lambda: self.status(id)["state"] == EXITED, "it ended", timeout_s)
        return self.status(id)

    def sh(self, id, script):
        r = self.cri.ExecSync(container_id=id, cmd=["sh", "-c", script], timeout=100)
        return r["exit_code"], r["stdout"].decode(), r["stderr"].decode()

    def let_go(self, id):
        """Make the file it waits for; it may take the one that makes it with it when it ends."""
        import grpc
        try:
            self.sh(id, "touch /go")
        except grpc.RpcError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cri.StopPodSandbox(pod_sandbox_id=self.id)
        self.cri.RemovePodSandbox(pod_sandbox_id=self.id)
