// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The only program in the guest's initramfs: process 1.
 *
 * It makes the guest's root out of the host's (root.c), and then does what the host asks for over one virtio-serial
 * port: runs a set-up script, runs one command, carries its input, output and exit status, and powers the machine
 * off. Frames in both directions are a type byte, a 32-bit little-endian length and that many bytes;
 * scripts/lib/guest.py is the other end and lists the types.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULES	 "/modules/list"
#define PORT	 "/dev/vport0p1"
#define CHUNK	 (64 * 1024)
#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/* A resource limit of the command, as the host sends it. */
struct limit {
	int32_t resource;
	struct rlimit value;
};

static struct {
	int port;
	int sigfd;
	struct strv env, argv;
	char *cwd;
	const struct limit *limits;
	size_t n_limits;
	uint32_t umask;
	bool tty;
	struct winsize win;
	pid_t pid;
	int status;
	int in, out, err;   /* our ends; -1 once closed */
	struct frame input; /* from the host, not yet taken by the command */
	size_t input_done;
} g = {.port = -1, .in = -1, .out = -1, .err = -1};

static void __attribute__((noreturn)) power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* Standard error is the console: the host reads it together with the kernel log. */
void die(const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	dprintf(2, "peerbar-init: FATAL: %s\n", msg);
	power_off();
}

static void write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			die("write to the host: %m");
		p += n;
		len -= n;
	}
}

static void read_all(int fd, void *buf, size_t len)
{
	char *p = buf;
	ssize_t n;

	while (len) {
		n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("the host closed the control port: %m");
		p += n;
		len -= n;
	}
}

static void send_frame(uint8_t type, const void *data, uint32_t len)
{
	char head[5] = {type, len, len >> 8, len >> 16, len >> 24};

	write_all(g.port, head, sizeof(head));
	write_all(g.port, data, len);
}

static struct frame recv_frame(void)
{
	unsigned char head[5];
	struct frame f;

	read_all(g.port, head, sizeof(head));
	f.type = head[0];
	f.len = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
	f.data = malloc((size_t)f.len + 1);
	if (!f.data)
		die("out of memory for a frame of %u bytes", f.len);
	read_all(g.port, f.data, f.len);
	f.data[f.len] = 0;
	return f;
}

void strv_add(struct strv *s, char *item)
{
	s->v = realloc(s->v, (s->n + 2) * sizeof(*s->v));
	if (!s->v)
		die("out of memory");
	s->v[s->n++] = item;
	s->v[s->n] = NULL;
}

static void load_module(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		die("load %s: %m", path);
	close(fd);
}

/* Each line of the list has a file and its parameters. A kernel of one piece comes without. */
static void load_modules(void)
{
	FILE *list = fopen(MODULES, "re");
	char line[256], *parameters;

	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		parameters = line + strcspn(line, " ");
		*parameters++ = 0;
		load_module(line, parameters);
	}
	if (list)
		fclose(list);
}

/* The port is there as soon as the driver is, the host's end a moment later: until then reads say end of file. */
static void open_port(void)
{
	struct pollfd p = {.events = POLLIN};

	for (int i = 0; i < 2000 && g.port < 0; i++) {
		g.port = open(PORT, O_RDWR | O_CLOEXEC);
		if (g.port < 0)
			usleep(5000);
	}
	if (g.port < 0)
		die("open %s: %m", PORT);
	p.fd = g.port;
	for (int i = 0; i < 2000; i++) {
		if (poll(&p, 1, -1) == 1 && !(p.revents & POLLHUP))
			return;
		usleep(5000);
	}
	die("the host never opened its end of %s", PORT);
}

static void child_prepare(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	environ = g.env.v;
}

/* No process may have a higher limit of descriptors than this, whose default the host may have raised. */
static void allow_descriptors(rlim_t wanted)
{
	static const char path[] = "/proc/sys/fs/nr_open";
	unsigned long long now = 0;
	FILE *f = fopen(path, "r+e");

	if (!f)
		return;
	if (fscanf(f, "%llu", &now) == 1 && now < wanted) {
		rewind(f);
		fprintf(f, "%llu", (unsigned long long)wanted);
	}
	fclose(f);
}

/* What the command inherits from whoever called scripts/vm. */
static void inherit(void)
{
	umask(g.umask);
	for (size_t i = 0; i < g.n_limits; i++) {
		const struct limit *l = &g.limits[i];

		if (l->resource == RLIMIT_NOFILE)
			allow_descriptors(l->value.rlim_max);
		if (!setrlimit(l->resource, &l->value))
			continue;
		dprintf(2, "vm: cannot set resource limit %d in the guest: %s\n", l->resource,
			strerror(errno));
		_exit(125);
	}
}

/* Runs in the child: errors go where the command's own would. */
static void child_exec(void)
{
	int err;

	inherit();
	if (chdir(g.cwd)) {
		dprintf(2, "vm: cannot enter %s in the guest: %s\n", g.cwd, strerror(errno));
		_exit(125);
	}
	execvpe(g.argv.v[0], g.argv.v, g.env.v);
	err = errno;
	dprintf(2, "vm: cannot run %s in the guest: %s\n", g.argv.v[0], strerror(err));
	_exit(err == ENOENT ? 127 : 126);
}

static void start_on_pty(void)
{
	int master;

	g.pid = forkpty(&master, NULL, NULL, &g.win);
	if (g.pid < 0)
		die("forkpty: %m");
	if (!g.pid) {
		child_prepare();
		child_exec();
	}
	g.out = master;
	g.in = dup(master);
}

static void start_on_pipes(void)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe: %m");
	g.pid = fork();
	if (g.pid < 0)
		die("fork: %m");
	if (!g.pid) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		child_prepare();
		child_exec();
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	g.in = in[1];
	g.out = out[0];
	g.err = err[0];
}

/* Run the set-up script with the host's shell; what it says on stderr goes to the host when it fails. */
static void run_setup(const struct frame *script)
{
	char msg[CHUNK];
	int in[2], out[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe: %m");
	pid = fork();
	if (pid < 0)
		die("fork: %m");
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		child_prepare();
		execl("/bin/sh", "sh", "-eu", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	write_all(in[1], script->data, script->len);
	close(in[1]);
	while ((n = read(out[0], msg + len, sizeof(msg) - len)) > 0)
		len += n;
	close(out[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	send_frame(status ? 'f' : 'r', msg, len);
}

static void close_fd(int *fd)
{
	close(*fd);
	*fd = -1;
}

/* Hand the command what it will take. The host sends no more before it hears that this has been taken or thrown away. */
static void feed_input(void)
{
	ssize_t n = 0;

	if (g.in >= 0)
		n = write(g.in, g.input.data + g.input_done, g.input.len - g.input_done);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0)
		close_fd(&g.in);
	else
		g.input_done += n;
	if (g.in >= 0 && g.input_done < g.input.len)
		return;
	free(g.input.data);
	g.input.data = NULL;
	send_frame('A', NULL, 0);
}

static void end_input(void)
{
	static const char eof = 4; /* what a terminal takes for the end */

	if (g.in < 0)
		return;
	if (g.tty)
		write_all(g.in, &eof, 1);
	else
		close_fd(&g.in);
}

/* Frames that may come while the command runs. Returns false for the one that ends it all. */
static bool host_frame(void)
{
	struct frame f = recv_frame();
	int fd;

	switch (f.type) {
	case 'i':
		free(g.input.data);
		g.input = f;
		g.input_done = 0;
		feed_input();
		return true; /* keeps the data */
	case 'I':
		end_input();
		break;
	case 'w':
		if (g.tty && g.out >= 0 && f.len == sizeof(g.win))
			ioctl(g.out, TIOCSWINSZ, f.data);
		break;
	case 'k':
		kill(-g.pid, f.data[0]);
		break;
	case 'd':
		fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
		write_all(fd, "w", 1);
		close(fd);
		send_frame('D', NULL, 0);
		break;
	case 'q':
		free(f.data);
		return false;
	}
	free(f.data);
	return true;
}

static void reap(void)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	if (read(g.sigfd, &si, sizeof(si)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != g.pid)
			continue;
		g.pid = -1;
		g.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		/* What it left running would keep the pipes open. */
		kill(-1, SIGKILL);
	}
}

static void relay(uint8_t type, int *fd)
{
	static char buf[CHUNK];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n > 0)
		send_frame(type, buf, n);
	else if (!n || (errno != EINTR && errno != EAGAIN))
		close_fd(fd); /* a pty whose last user has gone says EIO */
}

static bool pump(void)
{
	struct pollfd p[5] = {
		{.fd = g.port, .events = POLLIN},
		{.fd = g.sigfd, .events = POLLIN},
		{.fd = g.out, .events = POLLIN},
		{.fd = g.err, .events = POLLIN},
		{.fd = g.input.data ? g.in : -1, .events = POLLOUT},
	};

	if (poll(p, 5, -1) < 0)
		return true;
	if (p[2].revents)
		relay('o', &g.out);
	if (p[3].revents)
		relay('e', &g.err);
	if (p[4].revents)
		feed_input();
	if (p[1].revents)
		reap();
	return !(p[0].revents & POLLIN) || host_frame();
}

/* The flags of the processor, for a host whose own has more. */
static void send_processor(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5))
			continue;
		send_frame('c', line, strlen(line));
		break;
	}
	if (f)
		fclose(f);
}

static void run_command(void)
{
	char status[4];

	if (!g.argv.n || !g.cwd)
		die("the host sent no command");
	if (g.tty)
		start_on_pty();
	else
		start_on_pipes();
	while (g.pid > 0 || g.out >= 0 || g.err >= 0)
		if (!pump())
			return;
	if (g.status == 128 + SIGILL)
		send_processor();
	memcpy(status, &g.status, sizeof(status));
	send_frame('x', status, sizeof(status));
	while (pump())
		;
}

/* On a kernel that looks for leaks: objects count as leaked when they are older than five seconds. */
static void report_leaks(void)
{
	char buf[CHUNK];
	int fd = open(KMEMLEAK, O_RDWR | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	sleep(6);
	/* the first scan only remembers checksums; the second one reports what stayed */
	if (write(fd, "scan", 4) == 4 && write(fd, "scan", 4) == 4)
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			send_frame('l', buf, n);
	close(fd);
}

static void set_clock(const struct frame *f)
{
	struct timespec now;

	if (f->len != sizeof(now))
		die("a clock of %u bytes", f->len);
	memcpy(&now, f->data, sizeof(now));
	if (clock_settime(CLOCK_REALTIME, &now))
		die("set the clock: %m");
}

/* Frames that say how the command is to be run. Returns false for any other. Their data is kept. */
static bool command_frame(const struct frame *f)
{
	switch (f->type) {
	case 'e':
		strv_add(&g.env, f->data);
		return true;
	case 'a':
		strv_add(&g.argv, f->data);
		return true;
	case 'c':
		g.cwd = f->data;
		return true;
	case 'L':
		g.limits = (const struct limit *)f->data;
		g.n_limits = f->len / sizeof(*g.limits);
		return true;
	case 'u':
		memcpy(&g.umask, f->data, sizeof(g.umask));
		return true;
	case 'p':
		g.tty = true;
		memcpy(&g.win, f->data, f->len < sizeof(g.win) ? f->len : sizeof(g.win));
		return true;
	default:
		return false;
	}
}

/* Frames that say what the root is to be. Returns false for any other. Their data is kept. */
static bool root_frame(const struct frame *f)
{
	switch (f->type) {
	case 'f':
		add_file(f);
		return true;
	case 'b':
		add_bind(f->data);
		return true;
	case 'l':
		add_layer(f->data);
		return true;
	case 'M':
		mount_root();
		return true;
	case 'm':
		mount_share(f->data);
		return true;
	default:
		return false;
	}
}

/* One frame of the set-up phase. Returns false for the one that starts the command. */
static bool setup_frame(void)
{
	struct frame f = recv_frame();

	if (command_frame(&f) || root_frame(&f))
		return true;
	switch (f.type) {
	case 's':
		enter_root();
		run_setup(&f);
		break;
	case 't':
		set_clock(&f);
		break;
	case 'g':
		free(f.data);
		return false;
	default:
		die("unknown frame '%c' from the host", f.type);
	}
	free(f.data);
	return true;
}

int main(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	sigset_t chld;

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	load_modules();
	mount_host();
	open_port();
	while (setup_frame())
		;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	g.sigfd = signalfd(-1, &chld, SFD_CLOEXEC);
	if (g.sigfd < 0)
		die("signalfd: %m");
	run_command();
	report_leaks();
	power_off();
}
