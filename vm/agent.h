/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the agent in the machine: the verbs of a container over the monitor's unix socket ("CONNECT port\n",
 * "OK\n", then that vsock port). All calls block, at most about AGENT_TIMEOUT_MS unless said otherwise, and
 * return 0 or a negative errno with the guest's own words in *err. A machine that is gone gives -ENOTCONN.
 */
#ifndef VM_AGENT_H
#define VM_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define AGENT_TIMEOUT_MS 60000
#define AGENT_BOOT_TIMEOUT_MS 120000

/* What the machine as a whole is told before the first container. NULL members are left alone. */
struct agent_machine {
	const char *network; /* JSON: struct network_guest as written by backend_vm (guest_net.c reads it) */
	const char *hostname;
	bool set_clock;     /* give the guest the host's time */
	bool set_entropy;   /* give the guest 64 fresh bytes */
	unsigned int vcpus; /* processors online from now on, of those present; 0: as they are */
};

/* A process in the machine seen from here: its control connection and its streams. fds are owned; -1: none. */
struct agent_session {
	int control;
	int in, out, errout; /* with a terminal: in == out stream on `out`, others -1 */
	bool terminal;
	pid_t guest_pid;
};
#define AGENT_SESSION_NONE ((struct agent_session){ .control = -1, .in = -1, .out = -1, .errout = -1 })

/* Connects to a vsock port of the machine behind sock. fd or -errno, -ENOTCONN when the monitor is gone. */
int agent_dial(const char *sock, unsigned int port, int timeout_ms, struct err *err);
/*
 * Waits until the agent answers HELLO, at most timeout_ms; stop_fd (or -1) becoming readable or hung up ends the
 * wait with -ENOTCONN ("the machine ended while starting"). *ret_release (may be NULL) is the guest's uname -r.
 */
int agent_wait_ready(const char *sock, int stop_fd, int timeout_ms, char **ret_release, struct err *err);
int agent_machine(const char *sock, const struct agent_machine *m, struct err *err);

/*
 * Creates the container from the (rewritten) config.json bytes and opens its streams; terminal says what the
 * config says. The session must be kept by the process that relays (streams.h).
 */
int agent_create(const char *sock, const char *id, const char *config, size_t config_len, const char *options,
		 bool terminal, struct agent_session *ret, struct err *err);
/* Runs a second process; process is a process.json document, options a JSON object or NULL. */
int agent_exec(const char *sock, const char *id, const char *process, size_t process_len, const char *options,
	       bool terminal, struct agent_session *ret, struct err *err);
void agent_session_close(struct agent_session *s);
/* Window size and signal of a session's process. 0 or -errno; does not wait. */
int agent_session_resize(const struct agent_session *s, unsigned int rows, unsigned int cols);
int agent_session_signal(const struct agent_session *s, int sig);

/* state_json: the state document for startContainer hooks. rows, cols: size its terminal has when it starts; 0: unset. */
int agent_start(const char *sock, const char *id, const char *state_json, unsigned int rows, unsigned int cols,
		struct err *err);
/* -ESRCH "container not running" when the workload is gone. */
int agent_kill(const char *sock, const char *id, int sig, bool all, struct err *err);
/* JSON array of the guest's processes; owned by the caller. */
int agent_ps(const char *sock, const char *id, char **ret_json, struct err *err);
int agent_pause(const char *sock, const char *id, struct err *err);
int agent_resume(const char *sock, const char *id, struct err *err);
int agent_update(const char *sock, const char *id, const char *resources, struct err *err);
int agent_delete(const char *sock, const char *id, struct err *err);
/* The container's counters: a JSON object as of cgroup_stats_write(), owned; *ret_vcpus: processors online. */
int agent_stats(const char *sock, const char *id, char **ret_json, unsigned int *ret_vcpus, struct err *err);
/*
 * Watches for out-of-memory kills of the container: *ret_fd (owned) becomes readable, then agent_events_read() gives 1
 * for a kill, 0 at the end of container or machine.
 */
int agent_events(const char *sock, const char *id, int *ret_fd, struct err *err);
int agent_events_read(int fd);
/*
 * Asks the monitor itself (vm_control_line(), vm.h): line without newline; *ret_reply (owned) is what stands behind
 * "OK". "ERR text" becomes -EIO with the text.
 */
int agent_control(const char *sock, const char *line, char **ret_reply, struct err *err);
/* Asks the machine to write back and end; does not wait for the end. */
int agent_poweroff(const char *sock, struct err *err);

#endif
