#include "mrdctl/command.h"

#include <stdio.h>

enum { NAME_WIDTH = 34 };

static enum ctl_exit exit_of(enum mrd_status status)
{
    switch (status) {
    case MRD_OK:
        return CTL_EXIT_DONE;
    case MRD_E_UNAVAILABLE:
    case MRD_E_TIMEOUT:
        return CTL_EXIT_LATER;
    case MRD_E_INVALID:
    case MRD_E_LIMIT:
    case MRD_E_CORRUPT:
    case MRD_E_NOT_FOUND:
    case MRD_E_CONFLICT:
    case MRD_E_CANCELED:
    case MRD_E_UNSUPPORTED:
    case MRD_E_DENIED:
    case MRD_E_FATAL:
    case MRD_STATUS_COUNT:
        break;
    }
    return CTL_EXIT_FAILED;
}

enum ctl_exit ctl_fail(const struct ctl_command *command, enum mrd_status status,
                       const struct mrd_error *err)
{
    (void)fprintf(stderr, "mrdctl %s: %s\n", command->words, err->text);
    return exit_of(status);
}

void ctl_help(const struct ctl_command *command, const struct ctl_option *options, size_t count)
{
    printf("%s\n\nOptions:\n", command->help);
    for (size_t i = 0; i < count; i++) {
        char name[128];
        (void)snprintf(name, sizeof(name), "--%s%s%s", options[i].name,
                       options[i].value != NULL ? " " : "",
                       options[i].value != NULL ? options[i].value : "");
        printf("  %-*s %s\n", NAME_WIDTH, name, options[i].help);
    }
    printf("  %-*s %s\n", NAME_WIDTH, "--help", "this text");
}

static bool wants_help(int count, char **arguments)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            return true;
        }
        if (strcmp(arguments[i], "--") == 0) {
            return false;
        }
    }
    return false;
}

bool ctl_options_take(const struct ctl_command *command, const struct ctl_option *options,
                      size_t option_count, int count, char **arguments, struct ctl_list *rest,
                      enum ctl_exit *out_exit)
{
    struct mrd_error err;
    if (wants_help(count, arguments)) {
        ctl_help(command, options, option_count);
        *out_exit = CTL_EXIT_DONE;
        return false;
    }
    if (ctl_options_parse(options, option_count, count, arguments, rest, &err) != MRD_OK) {
        (void)fprintf(stderr, "mrdctl %s: %s\nmrdctl %s --help says what there is\n",
                      command->words, err.text, command->words);
        *out_exit = CTL_EXIT_USAGE;
        return false;
    }
    return true;
}
