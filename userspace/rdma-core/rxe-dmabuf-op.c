// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The rxe provider's reg_dmabuf_mr op, for linking with the distribution's own
 * static build of that provider when its source cannot be had.
 *
 * patches/ is the real thing; this file does the same from the outside. The
 * provider hands libibverbs its table of ops with verbs_set_ops(), which only
 * looks at the slots that are not NULL. build-provider routes that call to
 * provider_set_ops() below, which lets it through and then hands in one more
 * table with nothing but the dma-buf op in it.
 *
 * The table's layout is private to libibverbs and changes from release to
 * release. build-provider reads it from the static libibverbs of the very
 * version that is installed:
 *
 *   OPS_SIZE  bytes in struct verbs_context_ops
 *   OPS_SLOT  offset of its member reg_dmabuf_mr
 */

#include <errno.h>
#include <stdlib.h>

#include <infiniband/verbs.h>

typedef void (*op_fn)(void);

_Static_assert(OPS_SIZE % sizeof(op_fn) == 0, "the op table holds pointers only");
_Static_assert(OPS_SLOT % sizeof(op_fn) == 0, "the op is a pointer");
_Static_assert(OPS_SLOT < OPS_SIZE, "the op is in the table");

/* libibverbs keeps these to its providers; the installed headers have neither. */
int ibv_cmd_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd,
			  int access, void *vmr, void *driver);
void verbs_set_ops(struct verbs_context *ctx, const op_fn *ops);

void provider_set_ops(struct verbs_context *ctx, const op_fn *ops);

/*
 * An MR as providers keep it: what applications see comes first, and two ints
 * of libibverbs' own follow in all releases so far. The room here is for many
 * more; the provider's dereg_mr gives all of it back with free().
 */
struct provider_mr {
	struct ibv_mr mr;
	uint64_t private[16];
};

/*
 * Newer releases take a last argument (attributes for the driver, none here)
 * that older ones do not have. Passing one argument more than a function takes
 * is harmless in the calling conventions of the machines this is built for.
 */
static struct ibv_mr *reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length,
				    uint64_t iova, int fd, int access)
{
	struct provider_mr *pmr = calloc(1, sizeof(*pmr));
	int err;

	if (!pmr)
		return NULL;

	err = ibv_cmd_reg_dmabuf_mr(pd, offset, length, iova, fd, access, pmr, NULL);
	if (!err)
		return &pmr->mr;

	free(pmr);
	errno = err;
	return NULL;
}

static const op_fn dmabuf_ops[OPS_SIZE / sizeof(op_fn)] = {
	[OPS_SLOT / sizeof(op_fn)] = (op_fn)reg_dmabuf_mr,
};

void provider_set_ops(struct verbs_context *ctx, const op_fn *ops)
{
	verbs_set_ops(ctx, ops);
	verbs_set_ops(ctx, dmabuf_ops);
}
