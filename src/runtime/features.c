/* SPDX-License-Identifier: Apache-2.0 */
/* features: what of the specification this runtime serves, as JSON. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/options.h"
#include "engine/container/seccomp.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "runtime/runtime.h"
#include "sys/cgroup.h"

/* A flag the kernel knows gets as far as the missing program. */
static bool kernel_takes(unsigned flags)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}

static void write_seccomp(struct json_writer *w)
{
	/* Those of the specification; the library decides which of them are known here. */
	static const char *const archs[] = {
		"SCMP_ARCH_AARCH64",	 "SCMP_ARCH_ARM",    "SCMP_ARCH_LOONGARCH64",
		"SCMP_ARCH_M68K",	 "SCMP_ARCH_MIPS",   "SCMP_ARCH_MIPS64",
		"SCMP_ARCH_MIPS64N32",	 "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
		"SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
		"SCMP_ARCH_PPC",	 "SCMP_ARCH_PPC64",  "SCMP_ARCH_PPC64LE",
		"SCMP_ARCH_RISCV64",	 "SCMP_ARCH_S390",   "SCMP_ARCH_S390X",
		"SCMP_ARCH_SH",		 "SCMP_ARCH_SHEB",   "SCMP_ARCH_X32",
		"SCMP_ARCH_X86",	 "SCMP_ARCH_X86_64",
	};
	static const struct {
		const char *name;
		unsigned flag, with;
	} flags[] = {
		{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC, 0 },
		{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG, 0 },
		{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0 },
		{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		  SECCOMP_FILTER_FLAG_NEW_LISTENER },
	};

	json_w_object(w, "seccomp");
	json_w_bool(w, "enabled", true);
	json_w_strings(w, "actions",
		       (const char *const[]){ "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
					      "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
					      "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
					      "SCMP_ACT_TRAP", NULL });
	json_w_strings(w, "operators",
		       (const char *const[]){ "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
					      "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
					      "SCMP_CMP_NE", NULL });
	json_w_array(w, "archs");
	for (size_t i = 0; i < ARRAY_SIZE(archs); i++) {
		if (seccomp_arch_known(archs[i]))
			json_w_string(w, NULL, archs[i]);
	}
	json_w_end(w);
	json_w_array(w, "knownFlags");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		json_w_string(w, NULL, flags[i].name);
	json_w_end(w);
	json_w_array(w, "supportedFlags");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (kernel_takes(flags[i].flag | flags[i].with))
			json_w_string(w, NULL, flags[i].name);
	}
	json_w_end(w);
	json_w_end(w);
}

static void write_cgroup(struct json_writer *w)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	bool v1 = false, v2 = false;

	if (cgroup_layout_open(&l) == 0) {
		for (size_t i = 0; i < l.n; i++) {
			v1 = v1 || !l.at[i].unified;
			v2 = v2 || l.at[i].unified;
		}
	}
	json_w_object(w, "cgroup");
	json_w_bool(w, "v1", v1);
	json_w_bool(w, "v2", v2);
	json_w_bool(w, "systemd", true);
	json_w_bool(w, "systemdUser", true);
	json_w_bool(w, "rdma", true);
	json_w_end(w);
}

static void write_enabled(struct json_writer *w, const char *key, bool enabled)
{
	json_w_object(w, key);
	json_w_bool(w, "enabled", enabled);
	json_w_end(w);
}

static void write_linux(struct json_writer *w)
{
	json_w_object(w, "linux");
	json_w_array(w, "namespaces");
	for (int i = 0; i < SPEC_NS_N_; i++)
		json_w_string(w, NULL, spec_ns_name((enum spec_ns_type) i));
	json_w_end(w);
	json_w_array(w, "capabilities");
	for (unsigned i = 0; i < SPEC_CAP_N; i++)
		json_w_string(w, NULL, spec_cap_name(i));
	json_w_end(w);
	write_cgroup(w);
	write_seccomp(w);
	write_enabled(w, "apparmor", true);
	write_enabled(w, "selinux", true);
	json_w_object(w, "intelRdt");
	json_w_bool(w, "enabled", true);
	json_w_bool(w, "schemata", true);
	json_w_bool(w, "monitoring", true);
	json_w_end(w);
	write_enabled(w, "netDevices", true);
	json_w_object(w, "memoryPolicy");
	json_w_strings(w, "modes",
		       (const char *const[]){ "MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND",
					      "MPOL_INTERLEAVE", "MPOL_LOCAL",
					      "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE",
					      NULL });
	json_w_strings(w, "flags",
		       (const char *const[]){ "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
					      "MPOL_F_STATIC_NODES", NULL });
	json_w_end(w);
	json_w_object(w, "mountExtensions");
	write_enabled(w, "idmap", true);
	json_w_end(w);
	json_w_end(w);
}

static int run_features(struct runtime *rt, const void *options, const struct strings *args,
			struct err *e)
{
	auto_buf struct buf out = BUF_INIT(1u << 20);
	struct json_writer w = JSON_WRITER_PRETTY(&out, 2);

	(void) rt;
	(void) options;
	(void) args;
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersionMin", "1.0.0");
	json_w_string(&w, "ociVersionMax", "1.3.0");
	json_w_array(&w, "hooks");
	for (int i = 0; i < SPEC_HOOK_N_; i++)
		json_w_string(&w, NULL, spec_hook_name((enum spec_hook_kind) i));
	json_w_end(&w);
	json_w_strings(&w, "mountOptions", mount_words_known);
	write_linux(&w);
	json_w_object(&w, "annotations");
	json_w_string(&w, "atoll.version", ATOLL_VERSION);
	json_w_string(&w, "org.opencontainers.runc.checkpoint.enabled", "true");
	json_w_string(&w, "run.oci.crun.checkpoint.enabled", "true");
	json_w_end(&w);
	/* A name that ends with a dot stands for all that begin with it. */
	json_w_strings(&w, "potentiallyUnsafeConfigAnnotations",
		       (const char *const[]){ "org.criu.config", "org.systemd.property.",
					      "run.oci.hooks.stderr", "run.oci.hooks.stdout",
					      "run.oci.keep_original_groups",
					      "run.oci.pidfd_receiver", "run.oci.seccomp.receiver",
					      "run.oci.seccomp_fail_unknown_syscall",
					      "run.oci.systemd.subgroup", NULL });
	json_w_end(&w);
	buf_addc(&out, '\n');
	int r = buf_ok(&out) ? fd_write_all(STDOUT_FILENO, out.p, out.n) : -ENOMEM;

	return r < 0 ? err_sys(e, -r, "write to standard output") : 0;
}

const struct verb verb_features = {
	.name = "features",
	.usage = "",
	.help = "print what of the specification is served, as JSON",
	.run = run_features,
};
