/* What people read of a configuration: --help, the documentation, and the dump for /config. And what
 * they write on the command line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/config_internal.h"

/* ---- the command line ---- */

/* The value of "--name VALUE" or "--name=VALUE"; advances *index in the first form. */
static const char *option_value(int argc, char **argv, int *index, const char *name)
{
    const size_t size = strlen(name);
    if (strncmp(argv[*index], name, size) != 0) {
        return NULL;
    }
    if (argv[*index][size] == '=') {
        return argv[*index] + size + 1;
    }
    if (argv[*index][size] == 0 && *index + 1 < argc) {
        (*index)++;
        return argv[*index];
    }
    return NULL;
}

static const struct {
    const char *name;
    enum mrd_config_action action;
} option_actions[] = {
    {"--help",              MRD_CONFIG_HELP   },
    {"-h",                  MRD_CONFIG_HELP   },
    {"--version",           MRD_CONFIG_VERSION},
    {"--print-config-docs", MRD_CONFIG_DOCS   },
};

static bool read_action(const char *argument, struct mrd_config_sources *sources)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(option_actions); i++) {
        if (strcmp(argument, option_actions[i].name) == 0) {
            sources->action = option_actions[i].action;
            return true;
        }
    }
    return false;
}

enum mrd_status mrd_config_args_parse(int argc, char **argv, char **environment,
                                      struct mrd_config_sources *out_sources, struct mrd_error *err)
{
    struct mrd_config_sources sources = {.environment = environment, .action = MRD_CONFIG_RUN};
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        const char *value = NULL;
        if (read_action(argument, &sources)) {
            continue;
        }
        if ((value = option_value(argc, argv, &i, "--config")) != NULL) {
            sources.file = value;
        } else if ((value = option_value(argc, argv, &i, "--set")) != NULL) {
            if (sources.set_count == MRD_CONFIG_SETS_MAX) {
                return mrd_fail(err, MRD_E_INVALID, "more than %d --set: use a file",
                                MRD_CONFIG_SETS_MAX);
            }
            sources.sets[sources.set_count++] = value;
        } else {
            return mrd_fail(err, MRD_E_INVALID,
                            "argument %s: write --config FILE, --set KEY=VALUE, --help, --version "
                            "or --print-config-docs",
                            argument);
        }
    }
    *out_sources = sources;
    return MRD_OK;
}

/* ---- values ---- */

static const char *size_text(double value, char out[CONFIG_NUMBER_MAX])
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    int64_t size = (int64_t)value;
    size_t unit = 0;
    while (size != 0 && size % 1024 == 0 && unit + 1 < MRD_ARRAY_LEN(units)) {
        size /= 1024;
        unit++;
    }
    (void)snprintf(out, CONFIG_NUMBER_MAX, "%lld%s", (long long)size, units[unit]);
    return out;
}

const char *config_number_text(enum mrd_config_type type, double value, char out[CONFIG_NUMBER_MAX])
{
    if (type == MRD_CONFIG_SIZE) {
        return size_text(value, out);
    }
    if (type == MRD_CONFIG_DURATION) {
        return mrd_duration_format((mrd_time_ms)value, out);
    }
    (void)snprintf(out, CONFIG_NUMBER_MAX, "%.15g", value);
    return out;
}

/* A double-quoted YAML scalar is a JSON string but for what does not occur here. */
void config_quoted_write(struct mrd_buf *out, const char *text)
{
    mrd_buf_append(out, "\"", 1);
    for (const char *at = text; *at != 0; at++) {
        if (*at == '"' || *at == '\\') {
            mrd_buf_printf(out, "\\%c", *at);
        } else if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            mrd_buf_printf(out, "\\x%02x", (unsigned char)*at);
        } else {
            mrd_buf_append(out, at, 1);
        }
    }
    mrd_buf_append(out, "\"", 1);
}

static void write_list(struct mrd_buf *out, const struct config_value *value)
{
    mrd_buf_append(out, "[", 1);
    for (size_t i = 0; i < value->item_count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ", ");
        config_quoted_write(out, value->items[i]);
    }
    mrd_buf_append(out, "]", 1);
}

void config_value_write(struct mrd_buf *out, const struct mrd_config_key *key,
                        const struct config_value *value)
{
    char number[MRD_DOUBLE_TEXT_MAX];
    switch (key->type) {
    case MRD_CONFIG_BOOL:
        mrd_buf_append_text(out, value->number != 0 ? "true" : "false");
        break;
    case MRD_CONFIG_INT:
        mrd_buf_printf(out, "%lld", (long long)value->number);
        break;
    case MRD_CONFIG_SIZE:
    case MRD_CONFIG_DURATION:
        mrd_buf_append_text(out, config_number_text(key->type, (double)value->number, number));
        break;
    case MRD_CONFIG_FLOAT:
        mrd_buf_append(out, number, mrd_double_format_g(value->real, number));
        break;
    case MRD_CONFIG_SECRET:
        config_quoted_write(out, value->text == NULL || value->text[0] == 0 ? "" : "<secret>");
        break;
    case MRD_CONFIG_STRING:
    case MRD_CONFIG_ENUM:
        config_quoted_write(out, value->text == NULL ? "" : value->text);
        break;
    case MRD_CONFIG_LIST:
        write_list(out, value);
        break;
    }
}

/* ---- the dump ---- */

/* Opens the sections of `path` that `previous` was not in, each a line with its indentation. */
static size_t write_sections(struct mrd_buf *out, const char *previous, const char *path)
{
    size_t depth = 0;
    const char *at = path;
    for (const char *dot = strchr(at, '.'); dot != NULL; dot = strchr(at, '.')) {
        const size_t prefix = (size_t)(dot - path) + 1;
        if (previous == NULL || strncmp(previous, path, prefix) != 0) {
            mrd_buf_printf(out, "%*s%.*s:\n", (int)depth * 2, "", (int)(dot - at), at);
        }
        at = dot + 1;
        depth++;
    }
    return depth;
}

void mrd_config_dump_common(const struct mrd_config *config, struct mrd_buf *out)
{
    const char *previous = NULL;
    for (size_t i = 0; i < config->key_count; i++) {
        const struct mrd_config_key *key = config->keys[i];
        const size_t depth = write_sections(out, previous, key->path);
        const char *last = strrchr(key->path, '.');
        mrd_buf_printf(out, "%*s%s: ", (int)depth * 2, "", last == NULL ? key->path : last + 1);
        config_value_write(out, key, &config->values[i]);
        mrd_buf_append(out, "\n", 1);
        previous = key->path;
    }
}

void mrd_config_dump(const struct mrd_config *config, struct mrd_buf *out)
{
    mrd_config_dump_common(config, out);
    config_overrides_write(config, out);
}

/* ---- documentation ---- */

static const char *const type_texts[] = {
    [MRD_CONFIG_BOOL] = "bool",     [MRD_CONFIG_INT] = "int",
    [MRD_CONFIG_SIZE] = "size",     [MRD_CONFIG_DURATION] = "duration",
    [MRD_CONFIG_FLOAT] = "float",   [MRD_CONFIG_STRING] = "string",
    [MRD_CONFIG_SECRET] = "secret", [MRD_CONFIG_ENUM] = "one of",
    [MRD_CONFIG_LIST] = "list",
};

static void write_type(struct mrd_buf *out, const struct mrd_config_key *key)
{
    mrd_buf_append_text(out, type_texts[key->type]);
    if (key->choices != NULL) {
        mrd_buf_append_text(out, key->type == MRD_CONFIG_LIST ? " of" : "");
        for (size_t i = 0; key->choices[i] != NULL; i++) {
            mrd_buf_printf(out, "%s`%s`", i == 0 ? " " : ", ", key->choices[i]);
        }
    } else if (key->type == MRD_CONFIG_LIST) {
        if (key->max > 0) {
            mrd_buf_printf(out, " of at most %.0f", key->max);
        }
    } else if (key->min != 0 || key->max != 0) {
        char low[CONFIG_NUMBER_MAX];
        char high[CONFIG_NUMBER_MAX];
        mrd_buf_printf(out, ", %s to %s", config_number_text(key->type, key->min, low),
                       config_number_text(key->type, key->max, high));
    }
}

static void write_default(struct mrd_buf *out, const struct mrd_config_key *key)
{
    if (key->initial == NULL) {
        mrd_buf_append_text(out, "required");
    } else if (key->initial[0] == 0) {
        mrd_buf_append_text(out, "empty");
    } else {
        mrd_buf_printf(out, "`%s`", key->initial);
    }
}

/* "|" would end a table's cell. */
static void write_cell(struct mrd_buf *out, const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        mrd_buf_append_text(out, *at == '|' ? "\\" : "");
        mrd_buf_append(out, *at == '\n' ? " " : at, 1);
    }
}

void mrd_config_docs(const struct mrd_config_schema *schema, struct mrd_buf *out)
{
    const struct mrd_config_key **keys = NULL;
    const size_t count = config_keys(schema, &keys);
    mrd_buf_printf(out, "## meridian-%s\n\n%s\n\n", schema->service, schema->summary);
    mrd_buf_append_text(
        out, "| key | type | default | live | per tenant | meaning |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        mrd_buf_printf(out, "| `%s` | ", keys[i]->path);
        write_type(out, keys[i]);
        mrd_buf_append_text(out, " | ");
        write_default(out, keys[i]);
        mrd_buf_printf(out, " | %s | %s | ", keys[i]->reloadable ? "yes" : "",
                       keys[i]->per_tenant ? "yes" : "");
        write_cell(out, keys[i]->doc);
        mrd_buf_append_text(out, " |\n");
    }
    free((void *)keys);
}

void mrd_config_help(const struct mrd_config_schema *schema, struct mrd_buf *out)
{
    const struct mrd_config_key **keys = NULL;
    const size_t count = config_keys(schema, &keys);
    mrd_buf_printf(out,
                   "meridian-%s: %s\n\n"
                   "  --config FILE        read a YAML file\n"
                   "  --set KEY=VALUE      set one key (may be repeated; wins over file and "
                   "environment)\n"
                   "  --help --version --print-config-docs\n\n"
                   "Keys (SECTION.KEY in a file is SECTION: {KEY: ...}; in the environment "
                   "MERIDIAN_SECTION_KEY):\n",
                   schema->service, schema->summary);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_printf(out, "  %s (", keys[i]->path);
        write_type(out, keys[i]);
        mrd_buf_append_text(out, keys[i]->initial == NULL ? "; " : "; default ");
        write_default(out, keys[i]);
        mrd_buf_printf(out, ")\n      %s\n", keys[i]->doc);
    }
    free((void *)keys);
}
