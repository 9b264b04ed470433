#include "http/router.h"

static struct router_pattern pattern_parse(const char *text)
{
    const struct mrd_bytes whole = mrd_bytes_of(text);
    mrd_assert(whole.size > 0 && whole.data[0] == '/');
    const char *open = strchr(text, '{');
    if (open != NULL) {
        const char *close = strchr(open, '}');
        mrd_assert(close != NULL && strchr(close, '{') == NULL && strchr(text, '*') == NULL);
        return (struct router_pattern){
            .before = {whole.data, (size_t)(open - text)},
            .after = mrd_bytes_of(close + 1),
            .kind = ROUTER_PARAM,
        };
    }
    const char *star = strchr(text, '*');
    if (star != NULL) {
        mrd_assert(star[1] == 0);
        return (struct router_pattern){
            .before = {whole.data, whole.size - 1},
            .kind = ROUTER_PREFIX,
        };
    }
    return (struct router_pattern){.before = whole, .kind = ROUTER_EXACT};
}

static bool pattern_equal(const struct router_pattern *a, const struct router_pattern *b)
{
    return a->kind == b->kind && mrd_bytes_equal(a->before, b->before) &&
           mrd_bytes_equal(a->after, b->after);
}

void mrd_router_add(struct mrd_router *router, const char *pattern, unsigned methods, size_t value)
{
    mrd_assert(router->pattern_count < MRD_ROUTER_PATTERNS_MAX);
    struct router_pattern parsed = pattern_parse(pattern);
    parsed.methods = methods;
    parsed.value = value;
    for (size_t i = 0; i < router->pattern_count; i++) {
        mrd_assert(!pattern_equal(&router->patterns[i], &parsed) ||
                   (router->patterns[i].methods & methods) == 0);
    }
    router->patterns[router->pattern_count++] = parsed;
}

static bool starts_with(struct mrd_bytes text, struct mrd_bytes prefix)
{
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static bool ends_with(struct mrd_bytes text, struct mrd_bytes suffix)
{
    return text.size >= suffix.size &&
           memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0;
}

static bool pattern_matches(const struct router_pattern *pattern, struct mrd_bytes path,
                            struct mrd_bytes *out_param)
{
    *out_param = MRD_BYTES_NONE;
    if (!starts_with(path, pattern->before)) {
        return false;
    }
    const struct mrd_bytes rest = {path.data + pattern->before.size,
                                   path.size - pattern->before.size};
    if (pattern->kind == ROUTER_EXACT) {
        return rest.size == 0;
    }
    *out_param = rest;
    if (pattern->kind == ROUTER_PREFIX) {
        return true;
    }
    if (rest.size <= pattern->after.size || !ends_with(rest, pattern->after)) {
        return false;
    }
    out_param->size -= pattern->after.size;
    return memchr(out_param->data, '/', out_param->size) == NULL;
}

/* Exact before {param} before "*"; among equals the one that says more. */
static bool is_better(const struct router_pattern *a, const struct router_pattern *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    return a->before.size + a->after.size > b->before.size + b->after.size;
}

struct mrd_router_match mrd_router_find(const struct mrd_router *router, struct mrd_bytes path,
                                        unsigned method)
{
    struct mrd_router_match match = {0};
    const struct router_pattern *best = NULL; /* whatever its methods */
    for (size_t i = 0; i < router->pattern_count; i++) {
        const struct router_pattern *pattern = &router->patterns[i];
        struct mrd_bytes param;
        if ((best != NULL && is_better(best, pattern)) || !pattern_matches(pattern, path, &param)) {
            continue;
        }
        if (best == NULL || is_better(pattern, best)) {
            match = (struct mrd_router_match){0};
            best = pattern;
        }
        match.methods |= pattern->methods;
        if ((pattern->methods & method) != 0) {
            match.found = true;
            match.value = pattern->value;
            match.param = param;
        }
    }
    return match;
}
