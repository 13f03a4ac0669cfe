/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json that has every property we know, for the tests of oci/. */
#ifndef TESTS_UNIT_CONFIG_FULL_H
#define TESTS_UNIT_CONFIG_FULL_H

#define FULL_RESOURCES                                                                                                \
	"{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":-1," \
	"\"access\":\"rw\"}],"                                                                                        \
	"\"memory\":{\"limit\":536870912,\"reservation\":268435456,\"swap\":-1,\"kernel\":-1,\"kernelTCP\":-1,"       \
	"\"swappiness\":0,\"disableOOMKiller\":false,\"useHierarchy\":true,\"checkBeforeUpdate\":true},"              \
	"\"cpu\":{\"shares\":18446744073709551615,\"quota\":-1,\"burst\":1000,\"period\":100000,"                     \
	"\"realtimeRuntime\":950000,\"realtimePeriod\":1000000,\"idle\":1,\"cpus\":\"0-1\",\"mems\":\"0\"},"          \
	"\"pids\":{\"limit\":0},"                                                                                     \
	"\"blockIO\":{\"weight\":10,\"leafWeight\":20,"                                                               \
	"\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":500,\"leafWeight\":300}],"                             \
	"\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":600}],"                                         \
	"\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":16,\"rate\":601}],"                                       \
	"\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":32,\"rate\":602}],"                                       \
	"\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":48,\"rate\":603}]},"                                     \
	"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":9223372036854775807}],"                                  \
	"\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"eth0\",\"priority\":500}]},"                    \
	"\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000}},"                                              \
	"\"unified\":{\"memory.high\":\"12345\"}}"

#define FULL_PROCESS                                                                                                  \
	"{\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},"                                            \
	"\"user\":{\"uid\":1,\"gid\":4294967294,\"umask\":63,\"additionalGids\":[5,6]},"                              \
	"\"args\":[\"sh\",\"-c\",\"true\"],\"env\":[\"PATH=/bin\",\"EMPTY=\"],\"cwd\":\"/work\","                     \
	"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\"],\"effective\":[\"CAP_CHOWN\"],"    \
	"\"inheritable\":[\"CAP_KILL\"],\"permitted\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_KILL\"]},"                   \
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":18446744073709551615}],"                     \
	"\"noNewPrivileges\":true,\"apparmorProfile\":\"prof\",\"selinuxLabel\":\"u:r:t:s0\",\"oomScoreAdj\":-500,"   \
	"\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":0,\"priority\":0,"                                     \
	"\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\",\"SCHED_FLAG_UTIL_CLAMP_MAX\"],\"runtime\":1000000,"                 \
	"\"deadline\":2000000,\"period\":3000000},"                                                                   \
	"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":7},"                                            \
	"\"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"0-1\"}}"

#define FULL_SECCOMP                                                                                                  \
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"                                               \
	"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"         \
	"\"listenerPath\":\"/run/l.sock\",\"listenerMetadata\":\"m\","                                                \
	"\"syscalls\":[{\"names\":[\"getcwd\",\"chmod\"],\"action\":\"SCMP_ACT_ALLOW\"},"                             \
	"{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1,\"args\":[{\"index\":0,"                 \
	"\"value\":2114060288,\"valueTwo\":18446744073709551615,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}"

#define HOOK(n) "[{\"path\":\"/bin/" n "\",\"args\":[\"" n "\",\"x\"],\"env\":[\"A=b\"],\"timeout\":30}]"

#define FULL_CONFIG                                                                                                   \
	"{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"                                 \
	"\"process\":" FULL_PROCESS ",\"hostname\":\"h\",\"domainname\":\"d\","                                       \
	"\"mounts\":[{\"destination\":\"/data\",\"type\":\"none\",\"source\":\"vol\",\"options\":[\"rbind\",\"ro\"]," \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}],"                                          \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}]}],"                                        \
	"\"hooks\":{\"prestart\":" HOOK("a") ",\"createRuntime\":" HOOK("b") ",\"createContainer\":" HOOK("c")        \
	",\"startContainer\":" HOOK("d") ",\"poststart\":" HOOK("e") ",\"poststop\":" HOOK("f") "},"                  \
	"\"annotations\":{\"a.key\":\"value\",\"empty\":\"\"},"                                                       \
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/run/netns/x\"},"             \
	"{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"user\"},{\"type\":\"cgroup\"},"       \
	"{\"type\":\"time\"}],"                                                                                       \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"                                     \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"                                     \
	"\"timeOffsets\":{\"monotonic\":{\"secs\":172800,\"nanosecs\":1},\"boottime\":{\"secs\":-5,\"nanosecs\":0}}," \
	"\"devices\":[{\"type\":\"c\",\"path\":\"/dev/fuse\",\"major\":10,\"minor\":229,\"fileMode\":438,\"uid\":0,"  \
	"\"gid\":0}],"                                                                                                \
	"\"netDevices\":{\"eth7\":{\"name\":\"net%d\"}},"                                                             \
	"\"cgroupsPath\":\"/amphi/test\",\"resources\":" FULL_RESOURCES ","                                           \
	"\"intelRdt\":{\"closID\":\"guaranteed\",\"schemata\":[\"L3:0=f\"],\"l3CacheSchema\":\"L3:0=7f0\","           \
	"\"memBwSchema\":\"MB:0=20\",\"enableMonitoring\":true,\"enableCMT\":false,\"enableMBM\":false},"             \
	"\"memoryPolicy\":{\"mode\":\"MPOL_INTERLEAVE\",\"nodes\":\"0-1\",\"flags\":[\"MPOL_F_STATIC_NODES\"]},"      \
	"\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel.msgmax\":\"8192\"},"                                      \
	"\"seccomp\":" FULL_SECCOMP ",\"rootfsPropagation\":\"rslave\",\"maskedPaths\":[\"/proc/kcore\"],"            \
	"\"readonlyPaths\":[\"/proc/sys\"],\"mountLabel\":\"l\","                                                     \
	"\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]}},"                                                     \
	"\"vm\":{\"hypervisor\":{\"path\":\"/usr/bin/vmm\",\"parameters\":[\"a\"]},"                                  \
	"\"kernel\":{\"path\":\"/boot/vmlinuz\",\"parameters\":[\"quiet\"],\"initrd\":\"/boot/initrd\"},"             \
	"\"image\":{\"path\":\"/img\",\"format\":\"raw\"},"                                                           \
	"\"hwConfig\":{\"deviceTree\":\"/dtb\",\"vcpus\":2,\"memory\":4294967296,\"dtdevs\":[\"/aliases/eth0\"],"     \
	"\"iomems\":[{\"firstGFN\":1,\"firstMFN\":2,\"nrMFNs\":3}],\"irqs\":[11,112]}}}"

#endif
