/* options.h: a command's options as a table: parsed, described, bounded.
 *
 * `--name value` and `--name=value`, in any place; `--` ends them. Secrets are no options: they would stand in the list of
 * processes and in the shell's history. They come from files or the environment (connection.h).
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include "base/bytes.h"
#include "base/clock.h"

enum { CTL_LIST_MAX = 4096 };

#define CTL_TIME_MAX_MS (UINT64_C(365) * 86400 * 1000) /* of durations that are waited for */

struct ctl_list {
    const char *items[CTL_LIST_MAX];
    size_t count;
};

enum ctl_option_kind {
    CTL_FLAG,     /* bool; takes no value */
    CTL_TEXT,     /* const char * */
    CTL_COUNT,    /* uint64_t, min to max */
    CTL_DURATION, /* mrd_time_ms, "2h", min to max */
    CTL_TIME,     /* mrd_time_ms, "2015-07-01T20:10:51Z" or seconds */
    CTL_REPEATED, /* struct ctl_list */
};

struct ctl_option {
    const char *name; /* without the dashes */
    enum ctl_option_kind kind;
    const char *value; /* its word in the help text */
    const char *help;
    void *out; /* keeps what it has if the option is not given */
    uint64_t min;
    uint64_t max;
    bool required;
};

/* Rows of a table: as most are, one that must be given, one that has a range. */
#define CTL_ROW(name_, kind_, value_, help_, out_)                                                 \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .value = (value_), .help = (help_), .out = (out_)        \
    }
#define CTL_REQUIRED_ROW(name_, kind_, value_, help_, out_)                                        \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .value = (value_), .help = (help_), .out = (out_),       \
        .required = true                                                                           \
    }
#define CTL_RANGE_ROW(name_, kind_, value_, help_, out_, min_, max_)                               \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .value = (value_), .help = (help_), .out = (out_),       \
        .min = (min_), .max = (max_)                                                               \
    }

/* MRD_E_INVALID says what is wrong. Texts are views of the arguments. What is no option goes to `rest`, if that
 * is not NULL. */
MRD_MUST_CHECK enum mrd_status ctl_options_parse(const struct ctl_option *options,
                                                 size_t option_count, int count, char **arguments,
                                                 struct ctl_list *rest, struct mrd_error *err);

#endif
