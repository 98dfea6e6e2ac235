// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Cases that are wrong on purpose, one of each kind, for check-harness: what
 * runs the guest tests has to find every one of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "tap.h"

static void passes(void)
{
}

static void skips(void)
{
	tap_skip("there is a reason");
}

static void fails(void)
{
	CHECK_RET(-5, 0);
}

static void crashes(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void hangs(void)
{
	for (;;)
		pause();
}

static void hangs_in_child(void)
{
	signal(SIGTERM, SIG_IGN);
	if (!fork())
		hangs();
	hangs();
}

static void leaks_descriptor(void)
{
	if (open("/dev/null", O_RDONLY) < 0)
		FAIL("/dev/null");
}

static void fault_in_a_wrong_place(void)
{
	volatile int *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fault_catch();
	(void)*nowhere;
}

/* A fault that is no revocation must not be taken for one. */
static void fault_of_a_wrong_kind(void)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fault fault;

	fault_catch();
	CHECK(fault_is_revoked(nowhere, &fault), "signal %d", fault.signal);
}

/* The real thing, as an ordinary file shows it: past its end. */
static void fault_as_wanted(void)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);
	volatile char *past = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct fault fault;

	close(fd);
	fault_catch();
	CHECK(fault_is_revoked(past + 16, &fault), "signal %d", fault.signal);
	munmap((void *)past, 4096);
}

static void fail_now(void *arg)
{
	(void)arg;
	FAIL("in a helper");
}

static void helper_fails(void)
{
	tap_join(tap_fork(fail_now, NULL));
}

static const struct tap_case cases[] = {
	{"passes", passes},
	{"skips", skips},
	{"fails", fails},
	{"crashes", crashes},
	{"hangs", hangs, 1},
	{"hangs_in_child", hangs_in_child, 1},
	{"leaks_descriptor", leaks_descriptor},
	{"fault_in_a_wrong_place", fault_in_a_wrong_place},
	{"fault_of_a_wrong_kind", fault_of_a_wrong_kind},
	{"fault_as_wanted", fault_as_wanted},
	{"helper_fails", helper_fails},
};

TAP_MAIN(cases)
