/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The same probe past the provider. A provider without a reg_dmabuf_mr op and a
 * kernel driver without one both end in EOPNOTSUPP; only by asking the kernel
 * directly, by the documented uAPI, can one know which of the two to replace.
 */
#include <errno.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor_verbs.h"

#define NR_ATTRS 9
/*
 * The kernel wants to hear the driver's number first, and refuses any other
 * with EINVAL. libibverbs knows it but tells nobody; there are few.
 */
#define NR_DRIVERS 64

struct request {
	struct ib_uverbs_ioctl_hdr header;
	struct ib_uverbs_attr attrs[NR_ATTRS];
};

static void add_attr(struct request *request, uint16_t id, uint16_t length, uint64_t data)
{
	request->attrs[request->header.num_attrs++] = (struct ib_uverbs_attr){
		.attr_id = id,
		.len = length,
		.flags = UVERBS_ATTR_F_MANDATORY,
		.data = data,
	};
}

/* Values of up to eight bytes travel in the attribute itself. */
static void add_u32(struct request *request, uint16_t id, uint32_t value)
{
	union {
		uint32_t value;
		uint64_t data;
	} field = { .data = 0 };

	field.value = value;
	add_attr(request, id, sizeof(value), field.data);
}

static int ask_as(struct ibv_pd *pd, unsigned int driver)
{
	uint32_t lkey, rkey;
	struct request request = {
		.header = {
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_REG_DMABUF_MR,
			.driver_id = driver,
		},
	};

	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_HANDLE, 0, 0);
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE, 0, pd->handle);
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_OFFSET, sizeof(uint64_t), 0);
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_LENGTH, sizeof(uint64_t),
		 sysconf(_SC_PAGESIZE));
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_IOVA, sizeof(uint64_t), 0);
	add_u32(&request, UVERBS_ATTR_REG_DMABUF_MR_FD, (uint32_t)-1);
	add_u32(&request, UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS, IBV_ACCESS_LOCAL_WRITE);
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY, sizeof(lkey), (uintptr_t)&lkey);
	add_attr(&request, UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY, sizeof(rkey), (uintptr_t)&rkey);
	request.header.length = sizeof(request);
	if (!ioctl(pd->context->cmd_fd, RDMA_VERBS_IOCTL, &request))
		return 0;
	return errno;
}

int verbs_ask_kernel(struct ibv_pd *pd)
{
	int error = EINVAL;

	for (unsigned int driver = 0; driver < NR_DRIVERS && error == EINVAL; driver++)
		error = ask_as(pd, driver);
	return error;
}
