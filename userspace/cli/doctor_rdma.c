/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Which RDMA devices take dma-bufs: asked as applications ask, by registering
 * descriptor -1, which must fail with EBADF and nothing else.
 *
 * libibverbs is loaded at run time, so that the tool runs without it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#ifdef HAVE_VERBS

#include <dlfcn.h>

#include "doctor_provider.h"
#include "doctor_verbs.h"

static bool load(struct verbs_api *api)
{
	api->library = dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!api->library)
		return false;
	api->get_device_list = dlsym(api->library, "ibv_get_device_list");
	api->free_device_list = dlsym(api->library, "ibv_free_device_list");
	api->get_device_name = dlsym(api->library, "ibv_get_device_name");
	api->open_device = dlsym(api->library, "ibv_open_device");
	api->close_device = dlsym(api->library, "ibv_close_device");
	api->alloc_pd = dlsym(api->library, "ibv_alloc_pd");
	api->dealloc_pd = dlsym(api->library, "ibv_dealloc_pd");
	api->reg_dmabuf_mr = dlsym(api->library, "ibv_reg_dmabuf_mr");
	return api->get_device_list && api->free_device_list && api->get_device_name &&
	       api->open_device && api->close_device && api->alloc_pd && api->dealloc_pd;
}

static bool means_unsupported(int error)
{
	return error == EOPNOTSUPP || error == EPROTONOSUPPORT;
}

static void explain_unsupported(struct finding *finding, int kernel_error)
{
	finding->answer = ANSWER_NO;
	if (kernel_error == EBADF) {
		finding_why(finding, "the kernel driver would, but the user-space provider has no "
				     "reg_dmabuf_mr");
		finding_fix(finding, "a provider that has it; for rxe: export "
				     "IBV_DRIVERS=$(userspace/rdma-core/build-provider)");
	} else if (means_unsupported(kernel_error)) {
		finding_why(finding, "the kernel driver does not register dma-bufs");
		finding_fix(finding, "for rxe: a kernel with the peerbar series; else a NIC whose "
				     "driver does (mlx5, irdma)");
	} else {
		finding_why(finding, "not supported, and whether kernel or provider lacks it cannot "
				     "be told (the kernel says: %s)", strerror(kernel_error));
		finding_fix(finding, "try a newer kernel and a newer rdma-core");
	}
}

static void explain_probe(struct finding *finding, int error, int kernel_error)
{
	if (error == EBADF) {
		finding->answer = ANSWER_YES;
		finding_why(finding, "it takes dma-bufs: kernel driver and provider both do");
	} else if (means_unsupported(error)) {
		explain_unsupported(finding, kernel_error);
	} else {
		finding_why(finding, "the probe gave %s where applications expect %s; some will take "
				     "that for a yes", error ? strerror(error) : "success",
			    strerror(EBADF));
		finding_fix(finding, "try a newer kernel and a newer rdma-core");
	}
}

static void probe_pd(const struct verbs_api *api, struct finding *finding, struct ibv_pd *pd)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	int error = EOPNOTSUPP;
	struct ibv_mr *mr = NULL;

	if (api->reg_dmabuf_mr) {
		errno = 0;
		mr = api->reg_dmabuf_mr(pd, 0, page, 0, -1, IBV_ACCESS_LOCAL_WRITE);
		error = mr ? 0 : errno;
	}
	/* A driver that registers nothing at all: leave the MR to close_device(). */
	explain_probe(finding, error, verbs_ask_kernel(pd));
	if (!api->reg_dmabuf_mr)
		finding_fix(finding, "libibverbs 34 or newer: this one has no ibv_reg_dmabuf_mr");
}

static void cannot_probe(struct finding *finding, const char *what, int error)
{
	finding_why(finding, "%s failed: %s", what, strerror(error));
	if (error == EACCES || error == EPERM)
		finding_fix(finding, "be given /dev/infiniband/uverbs*, or be root");
	else
		finding_fix(finding, "`ibv_devinfo` should work first");
}

/* The file that a function is in; NULL when nobody knows. */
static const char *file_of(const void *function)
{
	Dl_info found;

	return dladdr(function, &found) ? found.dli_fname : NULL;
}

/* The provider is the one whose function posts this device's work. */
static void examine_provider(struct doctor *doctor, const struct verbs_api *api,
			     struct ibv_context *context, const char *name)
{
	const char *provider = file_of((const void *)context->ops.post_send);
	const char *library = file_of((const void *)api->get_device_list);
	char id[48], ability[48];

	if (!provider || !library || !is_rxe_provider(provider))
		return;
	snprintf(id, sizeof(id), "rdma-data-path:%.32s", name);
	snprintf(ability, sizeof(ability), "%.32s: data path", name);
	provider_judge(finding_add(doctor, GROUP_RDMA, ANSWER_UNKNOWN, id, ability), provider,
		       library);
}

static void probe_device(struct doctor *doctor, const struct verbs_api *api,
			 struct ibv_device *device)
{
	const char *name = api->get_device_name(device);
	struct finding *finding;
	struct ibv_context *context;
	struct ibv_pd *pd;
	char id[48];

	snprintf(id, sizeof(id), "rdma-dmabuf:%s", name);
	finding = finding_add(doctor, GROUP_RDMA, ANSWER_UNKNOWN, id, name);
	errno = 0;
	context = api->open_device(device);
	if (!context) {
		cannot_probe(finding, "opening it", errno);
		return;
	}
	pd = api->alloc_pd(context);
	if (pd) {
		probe_pd(api, finding, pd);
		api->dealloc_pd(pd);
	} else {
		cannot_probe(finding, "allocating a protection domain", errno);
	}
	examine_provider(doctor, api, context, name);
	api->close_device(context);
}

static void no_device(struct doctor *doctor)
{
	struct finding *finding = finding_add(doctor, GROUP_RDMA, ANSWER_NO, "rdma",
					      "RDMA device");

	finding_why(finding, "there is none");
	finding_fix(finding, "soft-RoCE needs no hardware: rdma link add rxe0 type rxe netdev NETDEV");
}

/* Not the same as that there is none. */
static void cannot_list(struct doctor *doctor, int error)
{
	struct finding *finding = finding_add(doctor, GROUP_RDMA, ANSWER_UNKNOWN, "rdma",
					      "RDMA devices");

	if (error == ENOSYS) {
		finding->answer = ANSWER_NO;
		finding_why(finding, "this kernel has no RDMA support, or has not loaded it");
		finding_fix(finding, "modprobe ib_uverbs, and rdma_rxe for soft-RoCE, which needs "
				     "no hardware");
		return;
	}
	finding_why(finding, "libibverbs cannot list them: %s",
		    error ? strerror(error) : "it does not say why");
	finding_fix(finding, "see what `ibv_devices` says, here and as root");
}

static void no_library(struct doctor *doctor)
{
	struct finding *finding = finding_add(doctor, GROUP_RDMA, ANSWER_UNKNOWN, "rdma",
					      "RDMA devices");

	finding_why(finding, "libibverbs.so.1 cannot be loaded, so no NIC can be asked");
	finding_fix(finding, "install libibverbs and its providers (Debian: libibverbs1, "
			     "ibverbs-providers)");
}

void doctor_examine_rdma(struct doctor *doctor)
{
	struct verbs_api api;
	struct ibv_device **devices;
	int count = 0;

	if (!load(&api)) {
		no_library(doctor);
		return;
	}
	errno = 0;
	devices = api.get_device_list(&count);
	if (!devices) {
		cannot_list(doctor, errno);
		return;
	}
	if (!count)
		no_device(doctor);
	for (int i = 0; i < count; i++)
		probe_device(doctor, &api, devices[i]);
	api.free_device_list(devices);
	/* Providers may have left threads or handlers behind: stays loaded. */
}

#else

void doctor_examine_rdma(struct doctor *doctor)
{
	struct finding *finding = finding_add(doctor, GROUP_RDMA, ANSWER_UNKNOWN, "rdma",
					      "RDMA devices");

	finding_why(finding, "this peerbar was built without the headers of libibverbs");
	finding_fix(finding, "build it where they are (Debian: libibverbs-dev)");
}

#endif
