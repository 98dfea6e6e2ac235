// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fault.h"

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t armed;
static _Thread_local struct fault caught;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	char text[128];
	int length;

	(void)context;
	if (armed) {
		armed = 0;
		caught.signal = signal;
		caught.code = info->si_code;
		caught.address = info->si_addr;
		siglongjmp(back, 1);
	}
	length = snprintf(text, sizeof(text),
			  "# signal %d (code %d) at %p where none was expected\n", signal,
			  info->si_code, info->si_addr);
	if (write(STDOUT_FILENO, text, length) != length)
		_exit(3);
	_exit(1);
}

void fault_catch(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

bool fault_read(const volatile void *address, uint32_t *value, struct fault *fault)
{
	if (sigsetjmp(back, 1)) {
		*fault = caught;
		return false;
	}
	armed = 1;
	*value = peerbar_read32(address);
	armed = 0;
	memset(fault, 0, sizeof(*fault));
	return true;
}

bool fault_write(volatile void *address, uint32_t value, struct fault *fault)
{
	if (sigsetjmp(back, 1)) {
		*fault = caught;
		return false;
	}
	armed = 1;
	peerbar_write32(address, value);
	armed = 0;
	memset(fault, 0, sizeof(*fault));
	return true;
}

static bool is_revocation(const struct fault *fault, const volatile void *address)
{
	return fault->signal == SIGBUS && fault->code == BUS_ADRERR && fault->address == address;
}

bool fault_is_revoked(volatile void *address, struct fault *fault)
{
	uint32_t value;

	if (fault_read(address, &value, fault) || !is_revocation(fault, address))
		return false;
	return !fault_write(address, 0, fault) && is_revocation(fault, address);
}
