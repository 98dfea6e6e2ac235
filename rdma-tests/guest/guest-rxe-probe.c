// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Asks soft-RoCE for dma-buf support the way unmodified programs ask, and draws
 * the conclusion they draw. With the series and the patched provider all of
 * them must find it; on the plain kernel, or with --expect-unsupported, none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "rdma.h"

#define PAGE	  4096
#define RW_ATOMIC RDMA_ACCESS_ALL

static void nic_open(struct rdma *nic)
{
	CHECK_OK(rdma_open(nic, RDMA_DEVICE, NULL));
}

static const char *errno_name(int err)
{
	return err ? strerrorname_np(err) ?: "an unknown errno" : "success";
}

/* Registers and, when that worked, gives back at once; returns the errno. */
static int attempt(struct rdma *nic, uint64_t offset, size_t length, uint64_t iova, int fd,
		   int access)
{
	struct ibv_mr *mr;
	int err;

	errno = 0;
	mr = ibv_reg_dmabuf_mr(nic->pd, offset, length, iova, fd, access);
	err = errno;
	tap_diag("ibv_reg_dmabuf_mr(pd, %#llx, %#zx, %#llx, %d, %#x): %s",
		 (unsigned long long)offset, length, (unsigned long long)iova, fd, access,
		 mr ? "success" : errno_name(err));
	if (mr) {
		CHECK(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr: %s", errno_name(errno));
		return 0;
	}
	CHECK(err, "it failed and left errno alone");
	return err;
}

static bool means_unsupported(int err)
{
	return err == EOPNOTSUPP || err == EPROTONOSUPPORT;
}

static void demand(const char *who, bool capable)
{
	bool wanted = !fixture_is_plain_kernel();

	CHECK(capable == wanted, "%s would take " RDMA_DEVICE " as %s of dma-buf", who,
	      capable ? "capable" : "not capable");
}

/* An impossible registration; whatever is not "unsupported" will do. */
static void as_nccl(void)
{
	struct rdma nic;

	nic_open(&nic);
	demand("NCCL", !means_unsupported(attempt(&nic, 0, 0, 0, -1, 0)));
	rdma_close(&nic);
}

/* A good registration but for the descriptor; EBADF and nothing else. */
static void as_ucx(void)
{
	struct rdma nic;
	int err;

	nic_open(&nic);
	err = attempt(&nic, 0, sysconf(_SC_PAGESIZE), 0, -1, RW_ATOMIC);
	demand("UCX", err == EBADF);
	rdma_close(&nic);
}

static bool kernel_has_symbol(const char *name)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	bool found = false;
	char line[512];

	CHECK(symbols, "/proc/kallsyms: %s", strerror(errno));
	while (!found && fgets(line, sizeof(line), symbols))
		found = strstr(line, name);
	fclose(symbols);
	return found;
}

/* Looks into the kernel's symbols before it asks the device. */
static void as_libfabric(void)
{
	struct rdma nic;
	bool importer;

	nic_open(&nic);
	importer = kernel_has_symbol("ib_umem_dmabuf_get");
	tap_diag("ib_umem_dmabuf_get is %sin /proc/kallsyms", importer ? "" : "not ");
	demand("libfabric", importer && attempt(&nic, 0, 0, 0, -1, 0) != EOPNOTSUPP);
	rdma_close(&nic);
}

static int export_fd(struct fixture *f, struct peerbar_buffer **buffer)
{
	fixture_open(f, FIXTURE_MEM);
	*buffer = fixture_export(f->mem, MEM_BAR, 0, KIB(64), NC);
	return peerbar_buffer_fd(*buffer);
}

static void export_close(struct fixture *f, struct peerbar_buffer *buffer)
{
	peerbar_buffer_close(buffer);
	fixture_close(f);
}

/* rdma-core's own tests register for real, and skip on EOPNOTSUPP only. */
static void as_rdma_core(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	struct rdma nic;
	int err, fd;

	nic_open(&nic);
	fd = export_fd(&f, &buffer);
	err = attempt(&nic, 0, KIB(64), 0, fd, IBV_ACCESS_LOCAL_WRITE);
	CHECK(!err || err == EOPNOTSUPP, "neither success nor EOPNOTSUPP");
	demand("rdma-core's tests", !err);
	export_close(&f, buffer);
	rdma_close(&nic);
}

/* perftest takes two more for "try another way", and uses a real address. */
static void as_perftest(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	struct rdma nic;
	int err, fd;

	nic_open(&nic);
	fd = export_fd(&f, &buffer);
	err = attempt(&nic, KIB(16), KIB(32), 0x7f0000000000, fd, RW_ATOMIC);
	demand("perftest", !means_unsupported(err) && err != EIO);
	CHECK(!err || fixture_is_plain_kernel(), "it did not register");
	export_close(&f, buffer);
	rdma_close(&nic);
}

/* Several programs close the descriptor as soon as it is registered. */
static void fd_closed_early(void)
{
	struct peerbar_buffer *buffer;
	struct ibv_mr *mr;
	struct fixture f;
	struct rdma nic;
	int fd;

	nic_open(&nic);
	fd = export_fd(&f, &buffer);
	mr = ibv_reg_dmabuf_mr(nic.pd, 0, KIB(64), 0, fd, RW_ATOMIC);
	demand("any program", mr);
	export_close(&f, buffer);
	if (mr)
		CHECK(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr: %s", errno_name(errno));
	rdma_close(&nic);
}

struct bad_call {
	const char *what;
	uint64_t offset;
	size_t length;
	uint64_t iova;
	int access;
	int wanted;
};

static const struct bad_call bad_calls[] = {
	{"no length", 0, 0, 0, RW_ATOMIC, EINVAL},
	{"offset past the end", KIB(64), PAGE, 0, RW_ATOMIC, EINVAL},
	{"end past the end", KIB(60), 2 * PAGE, 0, RW_ATOMIC, EINVAL},
	{"end past 64 bits", ~0ull << 12, 2 * PAGE, 0, RW_ATOMIC, EINVAL},
	{"address not congruent", 0, PAGE, 64, RW_ATOMIC, EINVAL},
	{"on demand", 0, PAGE, 0, IBV_ACCESS_ON_DEMAND, EINVAL},
	{"unknown access", 0, PAGE, 0, 1 << 12, EINVAL},
	{"remote write only", 0, PAGE, 0, IBV_ACCESS_REMOTE_WRITE, EINVAL},
};

static void check_refused(int err, int wanted, const char *what)
{
	if (fixture_is_plain_kernel())
		wanted = EOPNOTSUPP;
	CHECK(err, "%s: it was accepted", what);
	CHECK(err == wanted, "%s: got %s, wanted %s", what, errno_name(err), errno_name(wanted));
}

/* A mistake must never look like missing support, and the other way round. */
static void bad_arguments(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	struct rdma nic;
	int fd;

	nic_open(&nic);
	fd = export_fd(&f, &buffer);
	for (size_t i = 0; i < sizeof(bad_calls) / sizeof(bad_calls[0]); i++) {
		const struct bad_call *b = &bad_calls[i];

		check_refused(attempt(&nic, b->offset, b->length, b->iova, fd, b->access),
			      b->wanted, b->what);
	}
	export_close(&f, buffer);
	rdma_close(&nic);
}

/* Descriptors that are no dma-buf, or nothing at all. */
static void bad_descriptors(void)
{
	struct rdma nic;
	int null, closed;

	nic_open(&nic);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	closed = dup(null);
	CHECK(null >= 0 && closed >= 0, "/dev/null: %s", strerror(errno));
	close(closed);
	check_refused(attempt(&nic, 0, PAGE, 0, null, RW_ATOMIC), EINVAL, "/dev/null");
	check_refused(attempt(&nic, 0, PAGE, 0, closed, RW_ATOMIC), EBADF, "a closed descriptor");
	check_refused(attempt(&nic, 0, PAGE, 0, INT32_MIN, RW_ATOMIC), EBADF,
		      "the most negative descriptor");
	close(null);
	rdma_close(&nic);
}

/*
 * The installed provider alone cannot pass the question on. libibverbs loads
 * its providers when the first device list is asked for, in this process.
 */
static void installed_provider(void)
{
	struct rdma nic;
	int err;

	unsetenv("IBV_DRIVERS");
	unsetenv("RDMAV_DRIVERS");
	nic_open(&nic);
	err = attempt(&nic, 0, PAGE, 0, -1, RW_ATOMIC);
	rdma_close(&nic);
	if (err == EBADF && !fixture_is_plain_kernel())
		tap_skip("the installed provider has the op by itself");
	CHECK(err == EOPNOTSUPP, "got %s, wanted EOPNOTSUPP", errno_name(err));
}

static const struct tap_case cases[] = {
	{"as-nccl", as_nccl},
	{"as-ucx", as_ucx},
	{"as-libfabric", as_libfabric},
	{"as-rdma-core-tests", as_rdma_core},
	{"as-perftest", as_perftest},
	{"fd-closed-early", fd_closed_early},
	{"bad-arguments", bad_arguments},
	{"bad-descriptors", bad_descriptors},
	{"installed-provider", installed_provider},
};

int main(int argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--expect-unsupported"))
			setenv("PEERBAR_KERNEL", "plain", 1);
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return tap_run(kept, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
