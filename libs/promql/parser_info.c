/* Which series info() takes labels from. */
#include "promql/parser_internal.h"

static bool is_name(const struct mrd_matcher *matcher)
{
    return mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME));
}

/* Without a matcher for the name these are target_info, with negative ones only every *_info. */
static bool default_name(const struct mrd_matcher *given, size_t count, struct mrd_bytes *out_value,
                         enum mrd_match_type *out_type)
{
    *out_value = MRD_BYTES("target_info");
    *out_type = MRD_MATCH_EQ;
    for (size_t i = 0; i < count; i++) {
        if (is_name(&given[i])) {
            *out_value = MRD_BYTES(".+_info");
            *out_type = MRD_MATCH_RE;
            if (given[i].type == MRD_MATCH_EQ || given[i].type == MRD_MATCH_RE) {
                return false;
            }
        }
    }
    return true;
}

bool pql_set_info_matchers(struct pql_parser *parser, struct mrd_call *call)
{
    const struct mrd_selector *selector =
        call->arg_count > 1 ? &call->args[1]->selector : &(const struct mrd_selector){0};
    const size_t count = selector->matcher_count;
    struct mrd_matcher *matchers = pql_parser_alloc(parser, (count + 1) * sizeof(*matchers));
    struct mrd_bytes value;
    enum mrd_match_type type;
    size_t added = 0;
    if (matchers == NULL) {
        return false;
    }
    if (default_name(selector->matchers, count, &value, &type)) {
        const enum mrd_status status =
            mrd_matcher_init(&matchers[added++], type, MRD_BYTES(MRD_METRIC_NAME), value, NULL);
        mrd_assert(status == MRD_OK); /* both patterns are ours */
        if (!pql_note_regexes(parser, matchers, added)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        matchers[added++] = selector->matchers[i]; /* the regex stays the selector's */
    }
    call->info_matchers = matchers;
    call->info_matcher_count = added;
    return true;
}
