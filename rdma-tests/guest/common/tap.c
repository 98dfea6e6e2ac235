// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "leak.h"
#include "tap.h"

#define EXIT_SKIP	  77
#define REASON_MAX	  200
#define DEFAULT_TIMEOUT_S 60
/* A soak ends by what it was told to do; this is for one that hangs. */
#define SOAK_TIMEOUT_S (12 * 3600)
/* How long a killed process may take to be gone before we call it stuck. */
#define REAP_MS 20000

/* Shared with the case's process, which writes why it skips. */
static char *skip_reason;
static struct leak_state baseline;

unsigned int tap_slowness(void)
{
	const char *kernel = getenv("PEERBAR_KERNEL");

	return kernel && !strcmp(kernel, "debug") ? 8 : 1;
}

bool tap_is_soak(void)
{
	return !strncmp(program_invocation_short_name, "guest-soak-", strlen("guest-soak-"));
}

/* A number from the environment, or 0. */
static unsigned long told(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : 0;
}

unsigned long tap_rounds(unsigned long normal, unsigned long soak)
{
	if (told("PEERBAR_ROUNDS"))
		return told("PEERBAR_ROUNDS");
	if (tap_is_soak())
		return soak / tap_slowness();
	return (normal + tap_slowness() - 1) / tap_slowness();
}

long long tap_moment_ms(long long normal, long long soak)
{
	if (told("PEERBAR_SECONDS"))
		return (long long)told("PEERBAR_SECONDS") * 1000;
	return tap_is_soak() ? soak : normal;
}

static void print_line(const char *prefix, const char *format, va_list args)
{
	char line[1024];
	int length;

	length = snprintf(line, sizeof(line), "%s", prefix);
	vsnprintf(line + length, sizeof(line) - length, format, args);
	/* One write, so that processes do not tear each other's lines. */
	dprintf(STDOUT_FILENO, "%s\n", line);
}

void tap_diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("# ", format, args);
	va_end(args);
}

void tap_fail(const char *file, int line, const char *format, ...)
{
	const char *name = strrchr(file, '/');
	char prefix[128];
	va_list args;

	snprintf(prefix, sizeof(prefix), "# %s:%d: ", name ? name + 1 : file, line);
	va_start(args, format);
	print_line(prefix, format, args);
	va_end(args);
	_exit(1);
}

void tap_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(skip_reason, REASON_MAX, format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

static const char *describe(int ret, char *text, size_t size)
{
	if (ret < 0)
		snprintf(text, size, "-%s", strerrorname_np(-ret) ? strerrorname_np(-ret) : "?");
	else
		snprintf(text, size, "%d", ret);
	return text;
}

void tap_check_ret(const char *file, int line, const char *what, int got, int wanted)
{
	char a[32], b[32];

	if (got != wanted)
		tap_fail(file, line, "%s: got %s, wanted %s", what, describe(got, a, sizeof(a)),
			 describe(wanted, b, sizeof(b)));
}

pid_t tap_fork(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();

	if (child < 0)
		FAIL("fork: %s", strerror(errno));
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fn(arg);
	_exit(0);
}

void tap_join_at(const char *file, int line, pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			tap_fail(file, line, "waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		tap_fail(file, line, "helper process died of signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

void tap_leak_baseline(void)
{
	leak_take(&baseline);
}

static void run_in_child(const struct tap_case *c)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	tap_leak_baseline();
	c->run();
	_exit(leak_none(&baseline) ? 0 : 1);
}

/* True when the process ended in time. */
static bool wait_for_exit(pid_t child, long long timeout_ms)
{
	struct pollfd poller = {.events = POLLIN};
	long long deadline = clock_ms() + timeout_ms, left;
	bool ended = false;

	poller.fd = syscall(SYS_pidfd_open, child, 0);
	if (poller.fd < 0)
		return true; /* waitpid() will tell */
	while (!ended && (left = deadline - clock_ms()) > 0)
		ended = poll(&poller, 1, (int)left) == 1;
	close(poller.fd);
	return ended;
}

static int finish_child(pid_t child, bool *stuck)
{
	int status = 0;

	*stuck = !wait_for_exit(child, REAP_MS);
	if (!*stuck)
		waitpid(child, &status, 0);
	return status;
}

static bool judge(int status)
{
	if (WIFSIGNALED(status)) {
		tap_diag("died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		return false;
	}
	return WEXITSTATUS(status) == 0;
}

static unsigned int timeout_of(const struct tap_case *c)
{
	if (tap_is_soak())
		return SOAK_TIMEOUT_S;
	return (c->timeout_s ? c->timeout_s : DEFAULT_TIMEOUT_S) * tap_slowness();
}

static bool run_case(const struct tap_case *c, bool *skipped)
{
	unsigned int timeout_s = timeout_of(c);
	int dmabufs = leak_dmabufs();
	bool in_time, stuck;
	int status;
	pid_t child;

	*skip_reason = '\0';
	fflush(stdout);
	child = fork();
	if (child < 0) {
		tap_diag("fork: %s", strerror(errno));
		return false;
	}
	if (!child)
		run_in_child(c);
	setpgid(child, child);
	in_time = wait_for_exit(child, timeout_s * 1000LL);
	if (!in_time)
		tap_diag("still running after %u s, killed", timeout_s);
	/* The leader is not reaped yet, so the group cannot be another's. */
	kill(-child, SIGKILL);
	status = finish_child(child, &stuck);
	if (stuck)
		tap_diag("cannot be killed: stuck in the kernel");
	if (!in_time || stuck)
		return false;
	*skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP;
	return leak_dmabufs_back_to(dmabufs) && (*skipped || judge(status));
}

static bool wanted(int argc, char **argv, const char *name)
{
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return false;
}

static size_t count_wanted(int argc, char **argv, const struct tap_case *cases, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		found += wanted(argc, argv, cases[i].name);
	return found;
}

static int list_cases(const struct tap_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s\n", cases[i].name);
	return 0;
}

static void report(bool ok, bool skipped, size_t number, const char *name)
{
	dprintf(STDOUT_FILENO, "%sok %zu - %s%s%s\n", ok ? "" : "not ", number, name,
		skipped ? " # SKIP " : "", skipped ? skip_reason : "");
}

int tap_run(int argc, char **argv, const struct tap_case *cases, size_t count)
{
	size_t number = 0, failed = 0;

	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list_cases(cases, count);
	if (!count_wanted(argc, argv, cases, count)) {
		fprintf(stderr, "%s: no such case; --list shows them\n", argv[0]);
		return 2;
	}
	skip_reason =
		mmap(NULL, REASON_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (skip_reason == MAP_FAILED)
		return 2;
	dprintf(STDOUT_FILENO, "TAP version 13\n1..%zu\n", count_wanted(argc, argv, cases, count));
	for (size_t i = 0; i < count; i++) {
		bool skipped = false, ok;

		if (!wanted(argc, argv, cases[i].name))
			continue;
		ok = run_case(&cases[i], &skipped);
		failed += !ok;
		report(ok, skipped && ok, ++number, cases[i].name);
	}
	munmap(skip_reason, REASON_MAX);
	return failed ? 1 : 0;
}
