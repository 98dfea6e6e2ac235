// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* peerbar/verbs.h against a played libibverbs: arguments, and whose errno is what. */
#include <string.h>

#include <peerbar/verbs.h>

#include "buffer.h"
#include "tap.h"

static struct {
	int err; /* 0: it works */
	unsigned int calls;
	uint64_t offset, iova;
	size_t length;
	int fd, access;
} verbs;

static struct ibv_mr region;

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
				 int fd, int access)
{
	verbs.calls++;
	verbs.offset = offset;
	verbs.length = length;
	verbs.iova = iova;
	verbs.fd = fd;
	verbs.access = access;
	errno = verbs.err < 0 ? 0 : verbs.err;
	return verbs.err ? NULL : &region;
}

static int reg(int err)
{
	struct peerbar_buffer buf = {.fd = 42};
	struct ibv_mr *untouched = (void *)&buf, *mr = untouched;
	struct ibv_pd pd;
	int ret;

	verbs.err = err;
	ret = peerbar_reg_mr(&buf, &pd, 0x1000, 0x2000, 0x5000, IBV_ACCESS_REMOTE_READ, &mr);
	ok(mr == (ret ? untouched : &region), "the output is %s", ret ? "untouched" : "set");
	return ret;
}

static void test_nulls(void)
{
	struct peerbar_buffer buf = {.fd = 42};
	struct ibv_mr *mr;
	struct ibv_pd pd;

	is_int(peerbar_reg_mr(NULL, &pd, 0, 1, 0, 0, &mr), -EINVAL, "no buffer");
	is_int(peerbar_reg_mr(&buf, NULL, 0, 1, 0, 0, &mr), -EINVAL, "no protection domain");
	is_int(peerbar_reg_mr(&buf, &pd, 0, 1, 0, 0, NULL), -EINVAL, "no output");
	is_int(verbs.calls, 0, "libibverbs was not bothered");
}

int main(void)
{
	test_nulls();
	is_int(reg(0), 0, "register");
	ok(verbs.offset == 0x1000 && verbs.length == 0x2000 && verbs.iova == 0x5000 &&
		   verbs.fd == 42 && verbs.access == IBV_ACCESS_REMOTE_READ,
	   "with what was asked for");
	is_int(reg(EOPNOTSUPP), -EOPNOTSUPP, "the provider or the driver cannot");
	is_int(reg(EPROTONOSUPPORT), -EOPNOTSUPP, "the kernel has no such method");
	is_int(reg(EINVAL), -EINVAL, "a bad range");
	is_int(reg(ENODEV), -ENODEV, "a revoked buffer");
	is_int(reg(ENOMEM), -ENOMEM, "no memory");
	is_int(reg(-1), -EIO, "a provider that does not say why");
	return done_testing();
}
