// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The rxe provider's reg_dmabuf_mr op, and the table that it is handed in with.
 *
 * The provider hands libibverbs its table of ops with verbs_set_ops(), which only
 * looks at the slots that are not NULL. That call comes to provider_set_ops()
 * below, which lets it through and then hands in one more table, with nothing
 * but what is added here.
 */

#include <errno.h>
#include <stdlib.h>

#include "rxe-archive.h"

_Static_assert(OPS_SIZE % sizeof(op_fn) == 0, "the op table holds pointers only");
CHECK_SLOT(SLOT_REG_DMABUF_MR);

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

void provider_set_ops(struct verbs_context *ctx, const op_fn *ops)
{
	op_fn more[NR_OPS] = {
		[SLOT_REG_DMABUF_MR / sizeof(op_fn)] = (op_fn)reg_dmabuf_mr,
	};

#ifdef WITH_DATA_PATH
	data_path_wrap(ops, more);
#endif
	verbs_set_ops(ctx, ops);
	verbs_set_ops(ctx, more);
}
