/* command.h: what mrdctl's commands are made of.
 *
 * A command reads its options, does its work and returns how the program ends. What was found goes to standard output,
 * how it goes on to standard error.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "mrdctl/options.h"

enum ctl_exit {
    CTL_EXIT_DONE = 0,
    CTL_EXIT_FAILED = 1, /* something is wrong, or was refused: the text says what */
    CTL_EXIT_USAGE = 2,  /* the command line */
    CTL_EXIT_LATER = 3,  /* the server cannot take it now; running it again goes on */
};

struct ctl_command {
    const char *words;   /* "block import" */
    const char *summary; /* one line */
    const char *help;    /* printed before the options */
    enum ctl_exit (*run)(const struct ctl_command *command, int count, char **arguments);
};

extern const struct ctl_command ctl_block_import;
extern const struct ctl_command ctl_block_export;
extern const struct ctl_command ctl_flush;
extern const struct ctl_command ctl_erasure_list;
extern const struct ctl_command ctl_erasure_show;
extern const struct ctl_command ctl_erasure_verify;
extern const struct ctl_command ctl_tenant_delete;
extern const struct ctl_command ctl_log_status;
extern const struct ctl_command ctl_log_adopt;

/* Prints the text, with the command's name before it, and returns the exit code of the status. */
enum ctl_exit ctl_fail(const struct ctl_command *command, enum mrd_status status,
                       const struct mrd_error *err);

/* Prints the help text with its options. */
void ctl_help(const struct ctl_command *command, const struct ctl_option *options, size_t count);

/* Reads the arguments. False if the program ends here: because of --help, or of a mistake that was printed. */
bool ctl_options_take(const struct ctl_command *command, const struct ctl_option *options,
                      size_t option_count, int count, char **arguments, struct ctl_list *rest,
                      enum ctl_exit *out_exit);

#endif
