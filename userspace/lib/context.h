/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The context: where the machine is looked at from, and who hears about it.
 */
#ifndef PB_CONTEXT_H
#define PB_CONTEXT_H

#include <pthread.h>

#include <peerbar/peerbar.h>

struct pb_space;

/*
 * The directories everything is found under. The public API always uses the
 * machine's own; unit tests point them at a tree they have made up.
 */
struct pb_roots {
	const char *sys;
	const char *dev;
	const char *proc;
	const char *run;     /* below it the notes of what was bound */
	const char *modules; /* below it the kernels' modules */
};

struct peerbar {
	peerbar_log_fn log;
	void *log_arg;
	int sys_fd;
	int dev_fd;
	int proc_fd;
	/* The machine's own, or a test's: these two may be missing. */
	const char *run;
	const char *modules;

	pthread_mutex_t lock; /* protects the two below */
	int iommufd;	      /* shared by the devices; -1 until one needs it */
	struct pb_space *spaces;
};

int pb_open_roots(const struct peerbar_options *options, const struct pb_roots *roots,
		  struct peerbar **out);

/*
 * Checks an option struct against what this library knows: @size is what the
 * caller compiled, @min the size of the first release, @known the present one.
 */
int pb_check_options(const void *options, size_t size, size_t min, size_t known);

/* Copies what the caller has room for and zeroes what we do not know. */
int pb_fill_caps(void *out, const void *caps, size_t min, size_t known);

void pb_log(struct peerbar *pb, enum peerbar_log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Logs "<message>: <strerror(-err)>" as an error and returns @err, so that a
 * failing path reads: return pb_fail(pb, -errno, "cannot open %s", path);
 */
int pb_fail(struct peerbar *pb, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* PB_CONTEXT_H */
