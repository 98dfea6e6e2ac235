/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static enum cli_status cmd_help(struct cli *cli)
{
	const struct cli_command *command;

	if (!cli->nr_operands) {
		help_overview();
		return CLI_OK;
	}
	command = cli_find_command(cli->operands[0]);
	if (!command)
		return usage_error(cli, "there is no command \"%s\"", cli->operands[0]);
	help_command(command);
	return CLI_OK;
}

static enum cli_status (*const run[CLI_NR_COMMANDS])(struct cli *cli) = {
	[CLI_DEVICES] = cmd_devices,
	[CLI_DOCTOR] = cmd_doctor,
	[CLI_BIND] = cmd_bind,
	[CLI_UNBIND] = cmd_unbind,
	[CLI_HELP] = cmd_help,
};

/* What getopt_long() needs, made from the table. */
struct parser {
	char letters[2 * CLI_NR_OPTIONS + 3];
	struct option longs[CLI_NR_OPTIONS + 1];
};

static void parser_init(struct parser *parser, unsigned int options)
{
	struct option *next = parser->longs;
	char *letter = parser->letters;

	memset(parser, 0, sizeof(*parser));
	/* Errors are reported here; ':' tells a missing value from the rest. */
	*letter++ = ':';
	for (size_t i = 0; i < CLI_NR_OPTIONS; i++) {
		const struct cli_option *option = &cli_options[i];

		if (!(options & CLI_BIT(i)))
			continue;
		*letter++ = option->letter;
		if (option->value)
			*letter++ = ':';
		*next++ = (struct option){
			.name = option->name,
			.has_arg = option->value ? required_argument : no_argument,
			.val = option->letter,
		};
	}
}

static enum cli_option_id option_of(int letter)
{
	size_t i = 0;

	while (cli_options[i].letter != letter)
		i++;
	return i;
}

/* So that even a wrong command line is answered in JSON when JSON is wanted. */
static void note_json(struct cli *cli, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			cli->options |= CLI_BIT(CLI_OPT_JSON);
}

static enum cli_status bad_option(struct cli *cli, int letter, const char *word,
				  unsigned int options)
{
	for (size_t i = 0; i < CLI_NR_OPTIONS; i++)
		if (optopt == cli_options[i].letter && (options & CLI_BIT(i)))
			return usage_error(cli, "the option --%s %s", cli_options[i].name,
					   letter == ':' ? "needs a value" : "takes no value");
	if (optopt)
		return usage_error(cli, "there is no option \"-%c\" here", optopt);
	return usage_error(cli, "there is no option \"%s\" here", word);
}

static enum cli_status parse_options(struct cli *cli, int argc, char **argv,
				     unsigned int options)
{
	struct parser parser;
	int letter;

	parser_init(&parser, options);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) >= 0) {
		if (letter == '?' || letter == ':')
			return bad_option(cli, letter, argv[optind - 1], options);
		if (letter == cli_options[CLI_OPT_DEVICE].letter)
			cli->device = optarg;
		if (letter == cli_options[CLI_OPT_PROGRAM].letter)
			cli->program = optarg;
		if (letter == cli_options[CLI_OPT_DRIVER].letter)
			cli->driver = optarg;
		cli->options |= CLI_BIT(option_of(letter));
	}
	cli->operands = argv + optind;
	cli->nr_operands = argc - optind;
	return CLI_OK;
}

static enum cli_status check_operands(const struct cli *cli)
{
	const struct cli_command *command = cli->command;
	unsigned int given = cli->nr_operands;

	if (given < command->min_operands)
		return usage_error(cli, "%s needs %s", command->name, command->operands);
	if (command->min_operands && !command->max_operands)
		return CLI_OK;
	if (given > command->max_operands)
		return usage_error(cli, "%s does not take \"%s\"", command->name,
				   cli->operands[command->max_operands]);
	return CLI_OK;
}

static enum cli_status no_command(const struct cli *cli, const char *word)
{
	char names[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < CLI_NR_COMMANDS && used < sizeof(names); i++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
				 cli_commands[i].name);
	if (word)
		return usage_error(cli, "there is no command \"%.60s\"; there are %s", word, names);
	return usage_error(cli, "no command given; there are %s", names);
}

/* Nothing, or an option, stands where the command belongs. */
static enum cli_status run_without_command(struct cli *cli, int argc, char **argv)
{
	enum cli_status status = parse_options(cli, argc, argv, CLI_GLOBAL_OPTIONS);

	if (status)
		return status;
	if (cli_has(cli, CLI_OPT_HELP))
		help_overview();
	else if (cli_has(cli, CLI_OPT_VERSION))
		printf("peerbar %s\n", peerbar_version());
	else
		return no_command(cli, NULL);
	return CLI_OK;
}

static enum cli_status run_command(struct cli *cli, int argc, char **argv)
{
	enum cli_status status;

	if (argc < 2 || argv[1][0] == '-')
		return run_without_command(cli, argc, argv);
	cli->command = cli_find_command(argv[1]);
	if (!cli->command)
		return no_command(cli, argv[1]);
	status = parse_options(cli, argc - 1, argv + 1, cli->command->options);
	if (status)
		return status;
	if (cli_has(cli, CLI_OPT_HELP)) {
		help_command(cli->command);
		return CLI_OK;
	}
	status = check_operands(cli);
	if (status)
		return status;
	return run[cli->command - cli_commands](cli);
}

int main(int argc, char **argv)
{
	struct cli cli = { .command = NULL };
	enum cli_status status;

	out_open();
	note_json(&cli, argc, argv);
	status = run_command(&cli, argc, argv);
	cli_close(&cli);
	if (!out_close() && status == CLI_OK)
		status = CLI_FAILED;
	return status;
}
