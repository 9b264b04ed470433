#include "mrdctl/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/time_text.h"

enum { OPTIONS_MAX = 64 };

static enum mrd_status list_add(struct ctl_list *list, const char *item, struct mrd_error *err)
{
    if (list->count == CTL_LIST_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "more than %d of a kind", CTL_LIST_MAX);
    }
    list->items[list->count++] = item;
    return MRD_OK;
}

static enum mrd_status count_read(const struct ctl_option *option, const char *text,
                                  struct mrd_error *err)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || number < option->min ||
        number > option->max) {
        return mrd_fail(err, MRD_E_INVALID,
                        "--%s %s: a number of %" PRIu64 " to %" PRIu64 " is wanted", option->name,
                        text, option->min, option->max);
    }
    *(uint64_t *)option->out = number;
    return MRD_OK;
}

static enum mrd_status duration_read(const struct ctl_option *option, const char *text,
                                     struct mrd_error *err)
{
    mrd_time_ms ms;
    char least[MRD_DURATION_TEXT_MAX];
    char most[MRD_DURATION_TEXT_MAX];
    if (mrd_duration_parse(mrd_bytes_of(text), &ms, NULL) != MRD_OK || ms < 0 ||
        (uint64_t)ms < option->min || (uint64_t)ms > option->max) {
        return mrd_fail(err, MRD_E_INVALID,
                        "--%s %s: a duration such as 90s or 2h is wanted, of %s to %s",
                        option->name, text, mrd_duration_format((mrd_time_ms)option->min, least),
                        mrd_duration_format((mrd_time_ms)option->max, most));
    }
    *(mrd_time_ms *)option->out = ms;
    return MRD_OK;
}

static enum mrd_status time_read(const struct ctl_option *option, const char *text,
                                 struct mrd_error *err)
{
    return mrd_time_parse(mrd_bytes_of(text), option->out)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "--%s %s: a time such as 2015-07-01T20:10:51Z or 1435781451 is wanted",
                          option->name, text);
}

static enum mrd_status value_take(const struct ctl_option *option, const char *text,
                                  struct mrd_error *err)
{
    switch (option->kind) {
    case CTL_FLAG:
        *(bool *)option->out = true;
        return MRD_OK;
    case CTL_TEXT:
        *(const char **)option->out = text;
        return MRD_OK;
    case CTL_COUNT:
        return count_read(option, text, err);
    case CTL_DURATION:
        return duration_read(option, text, err);
    case CTL_TIME:
        return time_read(option, text, err);
    case CTL_REPEATED:
        return list_add(option->out, text, err);
    }
    return MRD_OK;
}

static const struct ctl_option *find(const struct ctl_option *options, size_t option_count,
                                     struct mrd_bytes name)
{
    for (size_t i = 0; i < option_count; i++) {
        if (mrd_bytes_equal(name, mrd_bytes_of(options[i].name))) {
            return &options[i];
        }
    }
    return NULL;
}

/* arguments[*at] is "--name" or "--name=value"; moves on to the last that it took. */
static enum mrd_status option_take(const struct ctl_option *options, size_t option_count, int count,
                                   char **arguments, int *at, bool *given, struct mrd_error *err)
{
    const char *text = arguments[*at] + 2;
    const char *equals = strchr(text, '=');
    const size_t size = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const struct ctl_option *option =
        find(options, option_count, (struct mrd_bytes){(const uint8_t *)text, size});
    if (option == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "there is no option --%.*s", (int)size, text);
    }
    given[option - options] = true;
    if (option->kind == CTL_FLAG) {
        return equals == NULL ? value_take(option, NULL, err)
                              : mrd_fail(err, MRD_E_INVALID, "--%s takes no value", option->name);
    }
    if (equals != NULL) {
        return value_take(option, equals + 1, err);
    }
    if (*at + 1 == count) {
        return mrd_fail(err, MRD_E_INVALID, "--%s needs a value", option->name);
    }
    (*at)++;
    return value_take(option, arguments[*at], err);
}

static enum mrd_status required_check(const struct ctl_option *options, size_t option_count,
                                      const bool *given, struct mrd_error *err)
{
    for (size_t i = 0; i < option_count; i++) {
        if (options[i].required && !given[i]) {
            return mrd_fail(err, MRD_E_INVALID, "--%s %s is missing", options[i].name,
                            options[i].value);
        }
    }
    return MRD_OK;
}

enum mrd_status ctl_options_parse(const struct ctl_option *options, size_t option_count, int count,
                                  char **arguments, struct ctl_list *rest, struct mrd_error *err)
{
    bool given[OPTIONS_MAX] = {false};
    bool ended = false;
    mrd_assert(option_count <= OPTIONS_MAX);
    for (int i = 0; i < count; i++) {
        const char *text = arguments[i];
        if (!ended && strcmp(text, "--") == 0) {
            ended = true;
        } else if (!ended && strncmp(text, "--", 2) == 0) {
            MRD_TRY(option_take(options, option_count, count, arguments, &i, given, err));
        } else if (rest != NULL && (ended || text[0] != '-')) {
            MRD_TRY(list_add(rest, text, err));
        } else {
            return mrd_fail(err, MRD_E_INVALID, "what is \"%s\"?", text);
        }
    }
    return required_check(options, option_count, given, err);
}
