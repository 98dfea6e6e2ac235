// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * peerbar-demo: on two virtual hosts, or on one that plays both parts. Which
 * part is whose, and which devices there are, PEERBAR_* variables tell; see
 * scripts/vm.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"
#include "servant.h"

#define EXIT_USAGE 2

static const char *require(const char *name)
{
	const char *value = getenv(name);

	if (value && *value)
		return value;
	fprintf(stderr, "peerbar-demo: %s is not set: run this with scripts/demo\n", name);
	exit(EXIT_USAGE);
}

/* Alone, the peer is a child that talks to us over our own address. */
static int play_both(const struct demo_cast *cast, bool json)
{
	int status, peer_status = 0;
	pid_t peer;

	fflush(stdout);
	peer = fork();
	if (peer < 0) {
		perror("peerbar-demo: fork");
		return 1;
	}
	if (!peer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(servant_run(cast->own_address, cast->control));
	}
	status = demo_target(cast, json);
	if (waitpid(peer, &peer_status, 0) != peer)
		peer_status = 1;
	return status ? status : !!peer_status;
}

static int play(bool json)
{
	struct demo_cast cast = {
		.own_address = require("PEERBAR_ADDR"),
	};
	const char *hosts = getenv("PEERBAR_HOSTS");
	bool alone = !hosts || !strcmp(hosts, "1");

	cast.peer_address = alone ? cast.own_address : require("PEERBAR_PEER");
	if (!alone && strcmp(require("PEERBAR_HOST"), "0")) {
		cast.control = cast.peer_address;
		return servant_run(cast.own_address, cast.control);
	}
	cast.control = cast.own_address;
	cast.memory = require("PEERBAR_MEMDEV");
	cast.registers = require("PEERBAR_REGDEV");
	return alone ? play_both(&cast, json) : demo_target(&cast, json);
}

int main(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc > 1 && !json) {
		fprintf(stderr, "Usage: peerbar-demo [--json]\n");
		return EXIT_USAGE;
	}
	return play(json);
}
