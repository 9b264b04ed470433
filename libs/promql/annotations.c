#include "promql/annotations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mrd_annotations_init(struct mrd_annotations *annotations, struct mrd_arena *arena,
                          struct mrd_bytes query)
{
    *annotations = (struct mrd_annotations){.arena = arena, .query = query};
}

static bool known(const struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                  struct mrd_bytes text)
{
    for (const struct mrd_annotation *at = annotations->first[kind]; at != NULL; at = at->next) {
        if (mrd_bytes_equal(at->text, text)) {
            return true;
        }
    }
    return false;
}

void mrd_annotations_add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                         struct mrd_bytes text)
{
    if (known(annotations, kind, text)) {
        return;
    }
    struct mrd_annotation *added = NULL;
    if (annotations->count[kind] < MRD_ANNOTATIONS_MAX) {
        added = mrd_arena_alloc(annotations->arena, sizeof(*added));
    }
    if (added != NULL) {
        added->text = mrd_arena_copy(annotations->arena, text);
    }
    if (added == NULL || added->text.data == NULL) {
        annotations->dropped[kind]++;
        return;
    }
    if (annotations->last[kind] == NULL) {
        annotations->first[kind] = added;
    } else {
        annotations->last[kind]->next = added;
    }
    annotations->last[kind] = added;
    annotations->count[kind]++;
}

/* " (line:col)" as Prometheus counts: lines and bytes from 1. */
static void format_position(struct mrd_bytes query, size_t offset, char *out, size_t size)
{
    out[0] = 0;
    if (query.size == 0 || offset > query.size) {
        return;
    }
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (query.data[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    (void)snprintf(out, size, " (%zu:%zu)", line, column);
}

void mrd_annotations_addf(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                          size_t offset, const char *format, ...)
{
    char message[1024];
    char position[64];
    char text[sizeof(message) + sizeof(position) + 32];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    format_position(annotations->query, offset, position, sizeof(position));
    (void)snprintf(text, sizeof(text), "PromQL %s: %s%s",
                   kind == MRD_ANNOTATION_WARNING ? "warning" : "info", message, position);
    mrd_annotations_add(annotations, kind, mrd_bytes_of(text));
}
