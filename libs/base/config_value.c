/* One value of a configuration: from text to its type, with the error that says what to write. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/config_internal.h"

static enum mrd_status bad_value(struct mrd_error *err, const char *where,
                                 const struct mrd_config_key *key, const char *want)
{
    return mrd_fail(err, MRD_E_INVALID, "%s: %s: %s", where, key->path, want);
}

static enum mrd_status check_bounds(const struct mrd_config_key *key, double value,
                                    const char *where, struct mrd_error *err)
{
    const bool open = key->min == 0 && key->max == 0;
    if (open ? value >= 0 : value >= key->min && value <= key->max) {
        return MRD_OK;
    }
    char text[160];
    if (open) {
        (void)snprintf(text, sizeof(text), "must not be negative");
    } else {
        char low[CONFIG_NUMBER_MAX];
        char high[CONFIG_NUMBER_MAX];
        (void)snprintf(text, sizeof(text), "must be between %s and %s",
                       config_number_text(key->type, key->min, low),
                       config_number_text(key->type, key->max, high));
    }
    return bad_value(err, where, key, text);
}

static enum mrd_status parse_bool(const struct mrd_config_key *key, const char *text,
                                  const char *where, struct config_value *value,
                                  struct mrd_error *err)
{
    value->number = strcmp(text, "true") == 0;
    if (value->number == 0 && strcmp(text, "false") != 0) {
        return bad_value(err, where, key, "write true or false");
    }
    return MRD_OK;
}

static bool parse_whole(const char *text, int64_t *out, const char **out_end)
{
    char *end = NULL;
    errno = 0;
    if (text[0] != '-' && !isdigit((unsigned char)text[0])) {
        return false;
    }
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text) {
        return false;
    }
    *out = number;
    *out_end = end;
    return true;
}

static enum mrd_status parse_int(const struct mrd_config_key *key, const char *text,
                                 const char *where, struct config_value *value,
                                 struct mrd_error *err)
{
    const char *end;
    if (!parse_whole(text, &value->number, &end) || *end != 0) {
        return bad_value(err, where, key, "write a whole number, such as 1000");
    }
    return check_bounds(key, (double)value->number, where, err);
}

static const struct {
    const char *name;
    int64_t factor;
} size_units[] = {
    {"TiB", 1LL << 40      },
    {"GiB", 1LL << 30      },
    {"MiB", 1LL << 20      },
    {"KiB", 1LL << 10      },
    {"TB",  1000000000000LL},
    {"GB",  1000000000     },
    {"MB",  1000000        },
    {"KB",  1000           },
    {"B",   1              },
    {"",    1              },
};

static enum mrd_status parse_size(const struct mrd_config_key *key, const char *text,
                                  const char *where, struct config_value *value,
                                  struct mrd_error *err)
{
    const char *unit;
    if (parse_whole(text, &value->number, &unit)) {
        for (size_t i = 0; i < MRD_ARRAY_LEN(size_units); i++) {
            if (strcmp(unit, size_units[i].name) == 0 &&
                !__builtin_mul_overflow(value->number, size_units[i].factor, &value->number)) {
                return check_bounds(key, (double)value->number, where, err);
            }
        }
    }
    return bad_value(err, where, key, "write a size, such as 4096, 64KiB, 16MiB or 2GiB");
}

static enum mrd_status parse_duration(const struct mrd_config_key *key, const char *text,
                                      const char *where, struct config_value *value,
                                      struct mrd_error *err)
{
    if (mrd_duration_parse(mrd_bytes_of(text), &value->number, NULL) != MRD_OK) {
        return bad_value(err, where, key, "write a duration, such as 500ms, 15s or 1h30m");
    }
    return check_bounds(key, (double)value->number, where, err);
}

static enum mrd_status parse_float(const struct mrd_config_key *key, const char *text,
                                   const char *where, struct config_value *value,
                                   struct mrd_error *err)
{
    if (!mrd_double_parse(text, strlen(text), &value->real) || !isfinite(value->real)) {
        return bad_value(err, where, key, "write a number, such as 0.25");
    }
    return check_bounds(key, value->real, where, err);
}

static enum mrd_status parse_enum(const struct mrd_config_key *key, const char *text,
                                  const char *where, struct config_value *value,
                                  struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf want = {0};
    mrd_buf_append_text(&want, "write one of ");
    for (size_t i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(text, key->choices[i]) == 0) {
            value->number = (int64_t)i;
            value->text = mrd_bytes_text(mrd_bytes_of(text));
            return MRD_OK;
        }
        mrd_buf_printf(&want, "%s%s", i == 0 ? "" : ", ", key->choices[i]);
    }
    mrd_buf_append_u8(&want, 0);
    return bad_value(err, where, key, (const char *)want.data);
}

/* "file:PATH": the secret is the file's text without the line end, as orchestrators mount it. */
static enum mrd_status parse_secret(const struct mrd_config_key *key, const char *text,
                                    const char *where, struct config_value *value,
                                    struct mrd_error *err)
{
    if (strncmp(text, "file:", 5) != 0) {
        value->text = mrd_bytes_text(mrd_bytes_of(text));
        return MRD_OK;
    }
    FILE *file = fopen(text + 5, "re");
    if (file == NULL) {
        return mrd_fail_errno(err, MRD_E_INVALID, "%s: %s: %s", where, key->path, text + 5);
    }
    char secret[CONFIG_SECRET_MAX];
    size_t size = fread(secret, 1, sizeof(secret), file);
    (void)fclose(file);
    if (size == sizeof(secret)) {
        return bad_value(err, where, key, "the secret's file is longer than 64 KiB");
    }
    while (size > 0 && (secret[size - 1] == '\n' || secret[size - 1] == '\r')) {
        size--;
    }
    value->text = mrd_bytes_text((struct mrd_bytes){(const uint8_t *)secret, size});
    return MRD_OK;
}

/* A list with choices takes nothing else. */
static enum mrd_status check_item(const struct mrd_config_key *key, struct mrd_bytes item,
                                  const char *where, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf want = {0};
    for (size_t i = 0; key->choices[i] != NULL; i++) {
        if (mrd_bytes_equal(item, mrd_bytes_of(key->choices[i]))) {
            return MRD_OK;
        }
        mrd_buf_printf(&want, "%s%s", i == 0 ? "" : ", ", key->choices[i]);
    }
    return mrd_fail(err, MRD_E_INVALID, "%s: %s: \"%.*s\" is none of %.*s", where, key->path,
                    (int)MRD_MIN(item.size, (size_t)64), (const char *)item.data, (int)want.size,
                    (const char *)want.data);
}

static void append_item(struct config_value *value, struct mrd_bytes item)
{
    value->items = realloc(value->items, (value->item_count + 1) * sizeof(char *));
    mrd_assert(value->items != NULL);
    value->items[value->item_count++] = mrd_bytes_text(item);
}

enum mrd_status config_value_add(const struct mrd_config_key *key, struct mrd_bytes item,
                                 const char *where, struct config_value *value,
                                 struct mrd_error *err)
{
    if (key->choices != NULL) {
        MRD_TRY(check_item(key, item, where, err));
    }
    const enum mrd_status status = key->check == NULL ? MRD_OK : key->check(item, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "%s: %s", where, key->path);
    }
    if (key->max > 0 && (double)value->item_count >= key->max) {
        return mrd_fail(err, MRD_E_INVALID, "%s: %s: takes %.0f items at most", where, key->path,
                        key->max);
    }
    append_item(value, item);
    return MRD_OK;
}

void config_value_copy(const struct config_value *from, struct config_value *to)
{
    config_value_fini(to);
    to->number = from->number;
    to->real = from->real;
    to->is_set = from->is_set;
    to->text = from->text == NULL ? NULL : mrd_bytes_text(mrd_bytes_of(from->text));
    for (size_t i = 0; i < from->item_count; i++) {
        append_item(to, mrd_bytes_of(from->items[i]));
    }
}

/* Up to the next comma that is not in braces or quotes. */
static size_t item_size(const char *text)
{
    size_t size = 0;
    size_t depth = 0;
    char quote = 0;
    for (; text[size] != 0 && (text[size] != ',' || depth > 0 || quote != 0); size++) {
        const char c = text[size];
        if (quote != 0) {
            size += c == '\\' && quote != '`' && text[size + 1] != 0;
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '\'' || c == '`') {
            quote = c;
        } else {
            depth += c == '{';
            depth -= c == '}' && depth > 0;
        }
    }
    return size;
}

static enum mrd_status parse_list(const struct mrd_config_key *key, const char *text,
                                  const char *where, struct config_value *value,
                                  struct mrd_error *err)
{
    for (const char *at = text; *at != 0;) {
        const size_t size = item_size(at);
        size_t first = 0;
        size_t last = size;
        while (first < last && at[first] == ' ') {
            first++;
        }
        while (last > first && at[last - 1] == ' ') {
            last--;
        }
        if (last > first) {
            MRD_TRY(config_value_add(key,
                                     (struct mrd_bytes){(const uint8_t *)at + first, last - first},
                                     where, value, err));
        }
        at += size + (at[size] == ',');
    }
    return MRD_OK;
}

enum mrd_status config_value_parse(const struct mrd_config_key *key, const char *text,
                                   const char *where, struct config_value *value,
                                   struct mrd_error *err)
{
    switch (key->type) {
    case MRD_CONFIG_BOOL:
        return parse_bool(key, text, where, value, err);
    case MRD_CONFIG_INT:
        return parse_int(key, text, where, value, err);
    case MRD_CONFIG_SIZE:
        return parse_size(key, text, where, value, err);
    case MRD_CONFIG_DURATION:
        return parse_duration(key, text, where, value, err);
    case MRD_CONFIG_FLOAT:
        return parse_float(key, text, where, value, err);
    case MRD_CONFIG_ENUM:
        return parse_enum(key, text, where, value, err);
    case MRD_CONFIG_SECRET:
        return parse_secret(key, text, where, value, err);
    case MRD_CONFIG_STRING:
        value->text = mrd_bytes_text(mrd_bytes_of(text));
        return MRD_OK;
    case MRD_CONFIG_LIST:
        return parse_list(key, text, where, value, err);
    }
    mrd_assert(key->type <= MRD_CONFIG_LIST);
    return MRD_E_INVALID;
}

void config_value_fini(struct config_value *value)
{
    free(value->text);
    for (size_t i = 0; i < value->item_count; i++) {
        free(value->items[i]);
    }
    free(value->items);
    *value = (struct config_value){0};
}
