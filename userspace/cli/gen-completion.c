/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Writes the bash completion file from the command table. */
#include <stdio.h>
#include <string.h>

#include "table.h"

static const char *const words_function[] = {
	[CLI_WORDS_NONE] = ":",
	[CLI_WORDS_PCI] = "_peerbar_pci",
	[CLI_WORDS_BOUND] = "_peerbar_bound",
	[CLI_WORDS_COMMAND] = "_peerbar_commands",
	[CLI_WORDS_FILE] = "_peerbar_files",
	[CLI_WORDS_DRIVER] = "_peerbar_drivers",
};

static void print_option_words(unsigned int options)
{
	for (size_t i = 0; i < CLI_NR_OPTIONS; i++) {
		if (!(options & CLI_BIT(i)))
			continue;
		printf(" -%c --%s", cli_options[i].letter, cli_options[i].name);
	}
}

static void print_commands(void)
{
	printf("_peerbar_commands()\n{\n\techo");
	for (size_t i = 0; i < CLI_NR_COMMANDS; i++)
		printf(" %s", cli_commands[i].name);
	printf("\n}\n\n");
}

static void print_options(void)
{
	/* Not by echo, to which some of them are options. */
	printf("_peerbar_options()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < CLI_NR_COMMANDS; i++) {
		printf("\t%s) printf '%%s '", cli_commands[i].name);
		print_option_words(cli_commands[i].options);
		printf(" ;;\n");
	}
	printf("\t'') printf '%%s '");
	print_option_words(CLI_GLOBAL_OPTIONS);
	printf(" ;;\n\tesac\n}\n\n");
}

static void print_operands(void)
{
	printf("_peerbar_operands()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < CLI_NR_COMMANDS; i++)
		printf("\t%s) %s ;;\n", cli_commands[i].name,
		       words_function[cli_commands[i].words]);
	printf("\t'') _peerbar_commands ;;\n\tesac\n}\n\n");
}

static void print_values(void)
{
	printf("# True when the option takes a value; prints what it can be.\n"
	       "_peerbar_value()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < CLI_NR_OPTIONS; i++) {
		const struct cli_option *option = &cli_options[i];

		if (option->value)
			printf("\t-%c|--%s) %s ;;\n", option->letter, option->name,
			       words_function[option->words]);
	}
	printf("\t*) return 1 ;;\n\tesac\n}\n\n");
}

static const char head[] =
	"# SPDX-License-Identifier: GPL-2.0-only OR MIT\n"
	"# bash completion for peerbar. Made from the command table; do not edit.\n"
	"# shellcheck shell=bash\n\n"
	"_peerbar_pci()\n{\n"
	"\t(shopt -s nullglob; cd /sys/bus/pci/devices 2>/dev/null && echo *)\n}\n\n"
	"_peerbar_bound()\n{\n"
	"\t(shopt -s nullglob; cd /sys/bus/pci/drivers 2>/dev/null || exit 0\n"
	"\t for path in *vfio*/*:*:*.*; do echo \"${path##*/}\"; done)\n}\n\n"
	"_peerbar_files()\n{\n"
	"\tcompgen -f -- \"$current\"\n}\n\n"
	"_peerbar_drivers()\n{\n"
	"\techo auto\n"
	"\t(shopt -s nullglob; cd /sys/bus/pci/drivers 2>/dev/null && echo *vfio*)\n}\n\n";

/*
 * A PCI address holds colons, at which bash breaks words. So the current word
 * is taken from the line itself, and what bash believes to be in front of the
 * current word is cut off the replies again.
 */
static const char tail[] =
	"_peerbar()\n{\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} word command='' previous='' choices\n"
	"\tlocal current=${line##*[[:space:]]} words\n"
	"\tread -ra words <<< \"${line%\"$current\"}\"\n"
	"\tfor word in \"${words[@]:1}\"; do\n"
	"\t\tif [[ -z $command && $word != -* ]]; then\n"
	"\t\t\tcommand=$word\n"
	"\t\tfi\n"
	"\t\tprevious=$word\n"
	"\tdone\n"
	"\tif ! { [[ -n $command ]] && choices=$(_peerbar_value \"$previous\"); }; then\n"
	"\t\tif [[ $current == -* ]]; then\n"
	"\t\t\tchoices=$(_peerbar_options \"$command\")\n"
	"\t\telse\n"
	"\t\t\tchoices=$(_peerbar_operands \"$command\")\n"
	"\t\tfi\n"
	"\tfi\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$current\")\n"
	"\tif [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
	"\t\tCOMPREPLY=(\"${COMPREPLY[@]#\"${current%\"${current##*:}\"}\"}\")\n"
	"\tfi\n"
	"}\n"
	"complete -F _peerbar peerbar\n";

int main(void)
{
	fputs(head, stdout);
	print_commands();
	print_options();
	print_operands();
	print_values();
	fputs(tail, stdout);
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
