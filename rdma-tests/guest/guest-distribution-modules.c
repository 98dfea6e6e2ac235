// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The series as modules of a distribution's kernel: it is them that run, a
 * buffer keeps its exporter's code, and without vfio rxe gets along. In the end
 * the modules are gone, so this comes after all other tests of a boot.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loopback.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IOVA   0x4000000ULL

/* delete_module(2): 0 or a negative errno, -EWOULDBLOCK while it is in use. */
static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

static bool is_loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !access(path, F_OK);
}

/* Modules that do not come with the kernel say so. */
static void packaged(void)
{
	static const char *const modules[] = {"vfio_pci_core", "vfio_pci", "vfio_iommu_type1",
					      "rdma_rxe"};
	char path[64], taint[16];
	FILE *file;

	for (size_t i = 0; i < sizeof(modules) / sizeof(*modules); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s/taint", modules[i]);
		file = fopen(path, "re");
		CHECK(file, "%s: %s", path, strerror(errno));
		CHECK(fgets(taint, sizeof(taint), file), "%s is empty", path);
		CHECK(strchr(taint, 'O'), "%s is the kernel's own: %s", modules[i], taint);
		fclose(file);
	}
}

/* Where the memory BAR is in the machine's address space. */
static void memory_bar(uint64_t *start, uint64_t *end)
{
	char path[128], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource",
		 fixture_env("PEERBAR_MEMDEV"));
	file = fopen(path, "re");
	CHECK(file, "%s: %s", path, strerror(errno));
	for (int i = 0; i <= MEM_BAR; i++)
		CHECK(fgets(line, sizeof(line), file), "%s is short", path);
	CHECK(sscanf(line, "%" SCNx64 " %" SCNx64, start, end) == 2, "%s: %s", path, line);
	fclose(file);
}

/* How many entries of the list of memory types lie in the memory BAR. */
static int reserved_types(void)
{
	FILE *list = fopen("/sys/kernel/debug/x86/pat_memtype_list", "re");
	uint64_t start, end, from, to;
	char line[256];
	int count = 0;

	CHECK(list, "pat_memtype_list: %s", strerror(errno));
	memory_bar(&start, &end);
	while (fgets(line, sizeof(line), list)) {
		if (sscanf(line, "PAT: [mem %" SCNx64 "-%" SCNx64 "]", &from, &to) == 2 &&
		    from <= end && to > start)
			count++;
	}
	fclose(list);
	return count;
}

/*
 * A buffer with a memory region outlives its device and the driver: until both
 * are gone the code that looks after them stays, and then nothing does.
 */
static void buffer_keeps_exporter(void)
{
	struct loopback l;
	struct slice slice;
	struct fixture f;
	struct ibv_mr *mr;

	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	loopback_open(&l, LENGTH);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	mr = loopback_register(&l, slice.buffer, 0, LENGTH, IOVA);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, LENGTH, IOVA, mr->rkey), 0);
	CHECK(reserved_types() > 0, "a mapped BAR without a memory type");
	peerbar_device_close(f.mem);
	f.mem = NULL;

	CHECK_RET(unload("vfio_pci"), 0);
	CHECK_RET(unload("vfio_pci_core"), -EWOULDBLOCK);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, LENGTH, IOVA, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	demand_revoked(slice.at);

	CHECK_OK(-ibv_dereg_mr(mr));
	CHECK_RET(unload("vfio_pci_core"), -EWOULDBLOCK);
	slice_close(&slice);
	CHECK_RET(unload("vfio_pci_core"), 0);
	CHECK(!reserved_types(), "%d entries of the memory BAR remain", reserved_types());
	loopback_close(&l);
	fixture_close(&f);
}

/* What vfio-pci-core offers to rxe it asks for, and lives without: other exporters' buffers do. */
static void rxe_without_vfio(void)
{
	struct loopback l;
	struct ibv_mr *mr;
	uint8_t *at;
	int fd;

	CHECK(!is_loaded("vfio_pci_core"), "vfio_pci_core is still loaded");
	loopback_open(&l, LENGTH);
	fd = fixture_heap_buffer(LENGTH);
	at = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	mr = ibv_reg_dmabuf_mr(l.rdma.pd, 0, LENGTH, IOVA, fd, RDMA_ACCESS_ALL);
	CHECK(mr, "ibv_reg_dmabuf_mr: %s", strerror(errno));
	pattern_fill(l.mem.at, LENGTH, 1);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, LENGTH, IOVA, mr->rkey), 0);
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	CHECK_OK(-ibv_dereg_mr(mr));
	munmap(at, LENGTH);
	close(fd);
	loopback_close(&l);
}

/* Without a user rxe goes as well. */
static void rxe_goes(void)
{
	CHECK_RET(unload("rdma_rxe"), 0);
	CHECK(!is_loaded("rdma_rxe"), "rdma_rxe is still loaded");
}

static const struct tap_case cases[] = {
	{"packaged", packaged, 0},
	{"buffer_keeps_exporter", buffer_keeps_exporter, 0},
	{"rxe_without_vfio", rxe_without_vfio, 0},
	{"rxe_goes", rxe_goes, 0},
};

TAP_MAIN(cases)
