// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* mmap() and its relatives on an exported buffer, one oddity each. */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fixture.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define RW     (PROT_READ | PROT_WRITE)

struct mapped {
	struct fixture f;
	struct peerbar_buffer *buffer;
	int fd;
	volatile uint8_t *at;
};

/* A buffer and one ordinary mapping of it, full of pattern 1. */
static void mapped_open(struct mapped *m)
{
	void *at = NULL;

	fixture_open(&m->f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	m->buffer = fixture_export(m->f.mem, MEM_BAR, BASE, LENGTH, NC);
	m->fd = peerbar_buffer_fd(m->buffer);
	CHECK_OK(try_mmap(m->fd, LENGTH, RW, MAP_SHARED, 0, &at));
	m->at = at;
	pattern_fill(m->at, LENGTH, 1);
}

static void mapped_close(struct mapped *m)
{
	munmap((void *)m->at, LENGTH);
	peerbar_buffer_close(m->buffer);
	fixture_close(&m->f);
}

/* A private mapping would have to copy device memory: EINVAL. */
static void private_refused(void)
{
	struct mapped m;

	mapped_open(&m);
	CHECK_RET(try_mmap(m.fd, LENGTH, RW, MAP_PRIVATE, 0, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, LENGTH, PROT_READ, MAP_PRIVATE, 0, NULL), -EINVAL);
	mapped_close(&m);
}

/* A descriptor opened for reading gives no writable mapping, ever. */
static void read_only(void)
{
	const struct peerbar_range range = {BASE, LENGTH};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.read_only = true,
	};
	struct peerbar_buffer *buffer;
	struct fault fault;
	struct mapped m;
	void *at = NULL;
	int fd;

	mapped_open(&m);
	CHECK_OK(peerbar_buffer_export(m.f.mem, MEM_BAR, &range, 1, &options, &buffer));
	fd = peerbar_buffer_fd(buffer);
	CHECK_RET(try_mmap(fd, LENGTH, RW, MAP_SHARED, 0, NULL), -EACCES);
	CHECK_OK(try_mmap(fd, LENGTH, PROT_READ, MAP_SHARED, 0, &at));
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	CHECK(!fault_write(at, 1, &fault) && fault.signal == SIGSEGV && fault.address == at,
	      "a write went through, or faulted elsewhere");
	CHECK_SYS(mprotect(at, LENGTH, RW), EACCES);
	munmap(at, LENGTH);
	peerbar_buffer_close(buffer);
	mapped_close(&m);
}

/* Nothing outside the buffer can be mapped. */
static void past_the_end(void)
{
	struct mapped m;
	size_t page;

	mapped_open(&m);
	page = m.f.page;
	CHECK_RET(try_mmap(m.fd, LENGTH + page, RW, MAP_SHARED, 0, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, page, RW, MAP_SHARED, LENGTH, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, LENGTH, RW, MAP_SHARED, page, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, page, RW, MAP_SHARED, MIB(1) << 20, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, page, RW, MAP_SHARED, 0x7ffffffffffff000LL, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, 0, RW, MAP_SHARED, 0, NULL), -EINVAL);
	CHECK_RET(try_mmap(m.fd, page, RW, MAP_SHARED, 1, NULL), -EINVAL);
	mapped_close(&m);
}

/* Every page of the buffer, mapped alone, is the page it should be. */
static void every_offset(void)
{
	uint8_t *copy = malloc(LENGTH);
	struct mapped m;

	mapped_open(&m);
	for (size_t at = 0; at < LENGTH; at += m.f.page) {
		void *page = NULL;

		CHECK_OK(try_mmap(m.fd, m.f.page, RW, MAP_SHARED, (off_t)at, &page));
		peerbar_copy_from(copy + at, page, m.f.page);
		munmap(page, m.f.page);
	}
	CHECK(pattern_matches(copy, LENGTH, 1), "a page is not where it was");
	mapped_close(&m);
	free(copy);
}

/* An address that huge pages can begin at, with nothing behind it. */
static void *huge_place(size_t length)
{
	uintptr_t at = (uintptr_t)mmap(NULL, length + MIB(2), PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK((void *)at != MAP_FAILED, "mmap: %s", strerror(errno));
	return (void *)((at + MIB(2) - 1) & ~(MIB(2) - 1));
}

/* A huge page would fit the mapping and the address, but not the range. */
static void huge_page_past_the_range(void)
{
	const struct peerbar_range ranges[] = {{MIB(2), MIB(1)}, {MIB(8), MIB(3)}};
	struct peerbar_buffer *buffer;
	struct slice whole;
	struct fixture f;
	uint8_t *at;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	slice_open(&f, 0, MIB(16), NC, &whole);
	pattern_fill(whole.at + MIB(2), MIB(2), 1);
	pattern_fill(whole.at + MIB(8), MIB(3), 2);
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, ranges, 2, NULL, &buffer));
	at = mmap(huge_place(MIB(4)), MIB(4), RW, MAP_SHARED | MAP_FIXED, peerbar_buffer_fd(buffer),
		  0);
	CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	CHECK(pattern_matches(at, MIB(1), 1), "contents of the first range");
	CHECK(pattern_matches(at + MIB(1), MIB(3), 2), "contents of the second one");
	munmap(at, MIB(4));
	peerbar_buffer_close(buffer);
	slice_close(&whole);
	fixture_close(&f);
}

/* A mapping can move, but not grow beyond what was checked. */
static void remap(void)
{
	struct mapped m;
	void *place, *moved;

	mapped_open(&m);
	CHECK_SYS(mremap((void *)m.at, LENGTH, 2 * LENGTH, MREMAP_MAYMOVE), EFAULT);
	place = mmap(NULL, LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(place != MAP_FAILED, "no room");
	moved = mremap((void *)m.at, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	CHECK(moved == place, "mremap: %s", strerror(errno));
	m.at = moved;
	CHECK(pattern_matches(m.at, LENGTH, 1), "contents after the move");
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	demand_revoked(m.at);
	mapped_close(&m);
}

/* A move that leaves the old place mapped would make two of one: EINVAL. */
static void remap_duplicating(void)
{
	struct mapped m;

	mapped_open(&m);
	CHECK_SYS(mremap((void *)m.at, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_DONTUNMAP), EINVAL);
	CHECK_SYS(mremap((void *)m.at, 0, LENGTH, MREMAP_MAYMOVE), EFAULT);
	demand_alive(m.at);
	mapped_close(&m);
}

/* Shrunk by mremap, the rest stays, and is revoked. */
static void remap_shrink(void)
{
	struct mapped m;

	mapped_open(&m);
	CHECK(mremap((void *)m.at, LENGTH, LENGTH / 2, 0) == m.at, "mremap");
	CHECK(pattern_matches(m.at, LENGTH / 2, 1), "contents");
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	demand_revoked(m.at);
	mapped_close(&m);
}

/* Taken and given back by mprotect, the memory is what it was. */
static void protect(void)
{
	struct fault fault;
	uint32_t value;
	struct mapped m;

	mapped_open(&m);
	CHECK_SYS(mprotect((void *)m.at, LENGTH, PROT_NONE), 0);
	CHECK(!fault_read(m.at, &value, &fault) && fault.signal == SIGSEGV && fault.address == m.at,
	      "PROT_NONE lets a read through");
	CHECK_SYS(mprotect((void *)m.at, LENGTH, PROT_READ), 0);
	CHECK(pattern_matches(m.at, LENGTH, 1), "contents");
	CHECK(!fault_write(m.at, 1, &fault) && fault.signal == SIGSEGV,
	      "PROT_READ lets a write through");
	CHECK_SYS(mprotect((void *)m.at, LENGTH, RW), 0);
	demand_alive(m.at);
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	demand_revoked(m.at);
	mapped_close(&m);
}

/* A hole in the middle: both ends live, and both are revoked. */
static void partial_munmap(void)
{
	struct fault fault;
	uint32_t value;
	struct mapped m;

	mapped_open(&m);
	CHECK_SYS(munmap((void *)(m.at + KIB(16)), KIB(16)), 0);
	CHECK(!fault_read(m.at + KIB(16), &value, &fault) && fault.signal == SIGSEGV,
	      "the hole is no hole");
	demand_alive(m.at);
	demand_alive(m.at + KIB(32));
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	demand_revoked(m.at);
	demand_revoked(m.at + KIB(32));
	mapped_close(&m);
}

/* MAP_POPULATE and mlock() are allowed, and change nothing. */
static void populate_and_lock(void)
{
	void *at = NULL;
	struct mapped m;

	mapped_open(&m);
	CHECK_OK(try_mmap(m.fd, LENGTH, RW, MAP_SHARED | MAP_POPULATE, 0, &at));
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	CHECK_SYS(mlock(at, LENGTH), 0);
	CHECK(pattern_matches(at, LENGTH, 1), "contents, locked");
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	demand_revoked(at);
	CHECK_SYS(munlock(at, LENGTH), 0);
	munmap(at, LENGTH);
	mapped_close(&m);
}

/* Advice that drops pages is obeyed, and they come back by faulting. */
static void advice(void)
{
	struct mapped m;

	mapped_open(&m);
	madvise((void *)m.at, LENGTH, MADV_DONTNEED);
	CHECK(pattern_matches(m.at, LENGTH, 1), "contents");
	/* Device memory is never dumped and never merged. */
	CHECK_SYS(madvise((void *)m.at, LENGTH, MADV_DODUMP), EINVAL);
	CHECK_SYS(madvise((void *)m.at, LENGTH, MADV_DOFORK), EINVAL);
	demand_alive(m.at);
	mapped_close(&m);
}

/* The CPU access ioctl, which other exporters need, is harmless here. */
static void sync_ioctl(void)
{
	struct dma_buf_sync sync = {.flags = DMA_BUF_SYNC_RW | DMA_BUF_SYNC_START};
	struct mapped m;

	mapped_open(&m);
	CHECK_SYS(ioctl(m.fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	sync.flags = DMA_BUF_SYNC_RW | DMA_BUF_SYNC_END;
	CHECK_SYS(ioctl(m.fd, DMA_BUF_IOCTL_SYNC, &sync), 0);
	demand_alive(m.at);
	CHECK_OK(peerbar_buffer_revoke(m.buffer));
	sync.flags = DMA_BUF_SYNC_RW | DMA_BUF_SYNC_START;
	ioctl(m.fd, DMA_BUF_IOCTL_SYNC, &sync);
	demand_revoked(m.at);
	mapped_close(&m);
}

static void map_as_nobody(void *arg)
{
	struct mapped *m = arg;
	void *at = NULL;

	close(peerbar_device_fd(m->f.mem));
	CHECK_SYS(setgid(65534), 0);
	CHECK_SYS(setuid(65534), 0);
	CHECK_OK(try_mmap(m->fd, LENGTH, RW, MAP_SHARED, 0, &at));
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
}

/* Who was given the descriptor needs no other right to map it. */
static void unprivileged(void)
{
	struct mapped m;

	mapped_open(&m);
	tap_join(tap_fork(map_as_nobody, &m));
	mapped_close(&m);
}

/* No page of it can be pinned by the kernel on behalf of another transfer. */
static void pin_refused(void)
{
	struct iovec local, remote;
	uint8_t copy[64];
	struct mapped m;
	int ends[2];

	mapped_open(&m);
	local = (struct iovec){.iov_base = copy, .iov_len = sizeof(copy)};
	remote = (struct iovec){.iov_base = (void *)m.at, .iov_len = sizeof(copy)};
	CHECK_SYS(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), EFAULT);
	CHECK_SYS(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), EFAULT);
	CHECK_SYS(pipe(ends), 0);
	CHECK_SYS(vmsplice(ends[1], &remote, 1, 0), EFAULT);
	close(ends[0]);
	close(ends[1]);
	mapped_close(&m);
}

/* O_DIRECT from the mapping: EFAULT where it pins, plain copy where not. */
static void direct_io(void)
{
	char path[] = "/tmp/peerbar-direct-XXXXXX";
	struct mapped m;
	ssize_t done;
	int fd;

	mapped_open(&m);
	fd = mkstemp(path);
	CHECK(fd >= 0, "mkstemp: %s", strerror(errno));
	unlink(path);
	if (fcntl(fd, F_SETFL, O_DIRECT)) {
		tap_diag("no O_DIRECT here");
	} else {
		done = write(fd, (void *)m.at, KIB(4));
		CHECK(done == (ssize_t)KIB(4) || (done < 0 && errno == EFAULT), "write: %zd, %s",
		      done, strerror(errno));
	}
	close(fd);
	demand_alive(m.at);
	mapped_close(&m);
}

static void be_traced(void *arg)
{
	(void)arg;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		FAIL("PTRACE_TRACEME: %s", strerror(errno));
	raise(SIGSTOP);
}

/* A debugger reads the word, or is told EIO; the kernel stays calm. */
static void traced(void)
{
	uint64_t wanted;
	struct mapped m;
	pid_t child;
	int status;
	long word;

	mapped_open(&m);
	wanted = peerbar_read64(m.at);
	child = tap_fork(be_traced, NULL);
	CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "the child did not stop");
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, child, (void *)m.at, NULL);
	CHECK(errno == EIO || (!errno && (uint64_t)word == wanted), "PEEKDATA: %lx, %s", word,
	      strerror(errno));
	tap_diag("PEEKDATA: %s", errno ? "EIO" : "the word");
	ptrace(PTRACE_CONT, child, NULL, NULL);
	tap_join(child);
	mapped_close(&m);
}

static void die_dumping(void *arg)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	(void)arg;
	setrlimit(RLIMIT_CORE, &unlimited);
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* A process that maps it can dump core. */
static void core_dump(void)
{
	char dir[] = "/tmp/peerbar-core-XXXXXX";
	struct mapped m;
	pid_t child;
	int status;

	mapped_open(&m);
	CHECK(mkdtemp(dir) && !chdir(dir), "mkdtemp: %s", strerror(errno));
	child = tap_fork(die_dumping, NULL);
	CHECK(waitpid(child, &status, 0) == child, "waitpid");
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "the child did not abort");
	tap_diag("core %sdumped", WCOREDUMP(status) ? "" : "not ");
	demand_alive(m.at);
	if (unlink("core"))
		tap_diag("core: %s", strerror(errno));
	CHECK(!chdir("/") && !rmdir(dir), "%s: %s", dir, strerror(errno));
	mapped_close(&m);
}

/* Device memory is no place for code: refused, or mapped without harm. */
static void executable(void)
{
	struct mapped m;
	int ret;

	mapped_open(&m);
	ret = try_mmap(m.fd, LENGTH, PROT_READ | PROT_EXEC, MAP_SHARED, 0, NULL);
	CHECK(ret == -EPERM || ret == 0, "mmap: %s", strerror(-ret));
	tap_diag("PROT_EXEC: %s", ret ? "EPERM" : "allowed");
	mapped_close(&m);
}

/* /proc/self/maps shows it as what it is. */
static void shown_in_maps(void)
{
	char line[512], wanted[32];
	struct mapped m;
	bool found = false;
	FILE *maps;

	mapped_open(&m);
	snprintf(wanted, sizeof(wanted), "%lx-", (unsigned long)m.at);
	maps = fopen("/proc/self/maps", "re");
	CHECK(maps, "/proc/self/maps: %s", strerror(errno));
	while (!found && fgets(line, sizeof(line), maps))
		found = !strncmp(line, wanted, strlen(wanted));
	fclose(maps);
	CHECK(found, "not listed");
	tap_diag("%.*s", (int)strcspn(line, "\n"), line);
	CHECK(strstr(line, "rw-s"), "not a shared mapping");
	mapped_close(&m);
}

static const struct tap_case cases[] = {
	{"private_refused", private_refused},
	{"read_only", read_only},
	{"past_the_end", past_the_end},
	{"every_offset", every_offset},
	{"huge_page_past_the_range", huge_page_past_the_range},
	{"remap", remap},
	{"remap_duplicating", remap_duplicating},
	{"remap_shrink", remap_shrink},
	{"protect", protect},
	{"partial_munmap", partial_munmap},
	{"populate_and_lock", populate_and_lock},
	{"advice", advice},
	{"sync_ioctl", sync_ioctl},
	{"unprivileged", unprivileged},
	{"pin_refused", pin_refused},
	{"direct_io", direct_io},
	{"traced", traced},
	{"core_dump", core_dump},
	{"executable", executable},
	{"shown_in_maps", shown_in_maps},
};

TAP_MAIN(cases)
