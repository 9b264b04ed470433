/* mrdctl: the operator's command line. */
#include <stdio.h>

#include "mrdctl/command.h"

static const struct ctl_command *const commands[] = {
    &ctl_block_import,   &ctl_block_export,  &ctl_flush,      &ctl_erasure_list, &ctl_erasure_show,
    &ctl_erasure_verify, &ctl_tenant_delete, &ctl_log_status, &ctl_log_adopt,
};

static void print_help(void)
{
    printf("mrdctl: the operator's command line of Meridian\n\nCommands:\n");
    for (size_t i = 0; i < MRD_ARRAY_LEN(commands); i++) {
        printf("  %-16s %s\n", commands[i]->words, commands[i]->summary);
    }
    printf("\nmrdctl COMMAND --help says more. Exit codes: 0 done, 1 failed or something was "
           "refused,\n"
           "2 the command line is wrong, 3 the server cannot take it now: run it again later.\n");
}

/* How many arguments a command's words take, or 0 if they are not these. */
static int words_taken(const char *words, int count, char **arguments)
{
    int taken = 0;
    while (*words != 0) {
        const char *space = strchr(words, ' ');
        const size_t size = space == NULL ? strlen(words) : (size_t)(space - words);
        if (taken == count || strlen(arguments[taken]) != size ||
            memcmp(arguments[taken], words, size) != 0) {
            return 0;
        }
        words += size + (space != NULL);
        taken++;
    }
    return taken;
}

int main(int count, char **arguments)
{
    count--;
    arguments++;
    if (count > 0 && strcmp(arguments[0], "--version") == 0) {
        printf("mrdctl %s\n", MRD_VERSION);
        return CTL_EXIT_DONE;
    }
    if (count > 0 && (strcmp(arguments[0], "--help") == 0 || strcmp(arguments[0], "-h") == 0)) {
        print_help();
        return CTL_EXIT_DONE;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(commands); i++) {
        const int taken = words_taken(commands[i]->words, count, arguments);
        if (taken > 0) {
            return (int)commands[i]->run(commands[i], count - taken, arguments + taken);
        }
    }
    (void)fprintf(stderr, "mrdctl: %s\nmrdctl --help says what there is\n",
                  count == 0 ? "no command was given" : "there is no such command");
    return CTL_EXIT_USAGE;
}
