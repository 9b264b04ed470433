#include "promql/annotations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mrd_annotations_init(struct mrd_annotations *annotations, struct mrd_arena *arena,
                          struct mrd_bytes query)
{
    *annotations = (struct mrd_annotations){.arena = arena, .query = query};
}

static struct mrd_annotation *find(const struct mrd_annotations *annotations,
                                   enum mrd_annotation_kind kind, struct mrd_bytes raw)
{
    for (struct mrd_annotation *at = annotations->first[kind]; at != NULL; at = at->next) {
        if (mrd_bytes_equal((struct mrd_bytes){at->text.data, at->raw_size}, raw)) {
            return at;
        }
    }
    return NULL;
}

static struct mrd_annotation *append(struct mrd_annotations *annotations,
                                     enum mrd_annotation_kind kind)
{
    struct mrd_annotation *added = mrd_arena_alloc(annotations->arena, sizeof(*added));
    if (added == NULL) {
        return NULL;
    }
    if (annotations->last[kind] == NULL) {
        annotations->first[kind] = added;
    } else {
        annotations->last[kind]->next = added;
    }
    annotations->last[kind] = added;
    annotations->count[kind]++;
    return added;
}

/* The first raw_size bytes of `text` say what it is about, the rest where. */
static void add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                struct mrd_bytes text, size_t raw_size, size_t order)
{
    struct mrd_annotation *at = find(annotations, kind, (struct mrd_bytes){text.data, raw_size});
    if (at != NULL && (at->order >= order || at->text.size == raw_size)) {
        return;
    }
    const struct mrd_bytes copy = at != NULL || annotations->count[kind] < MRD_ANNOTATIONS_MAX
                                      ? mrd_arena_copy(annotations->arena, text)
                                      : MRD_BYTES_NONE;
    if (at == NULL && copy.data != NULL) {
        at = append(annotations, kind);
    }
    if (at == NULL) {
        annotations->dropped[kind]++;
    } else if (copy.data != NULL) {
        at->text = copy;
        at->raw_size = raw_size;
        at->order = order;
    }
}

void mrd_annotations_add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                         struct mrd_bytes text)
{
    add(annotations, kind, text, text.size, 0);
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

enum { MESSAGE_MAX = 1024, POSITION_MAX = 64, OCCURRENCES_MAX = 48 };

/* "PromQL warning: <message>" */
MRD_PRINTF(4, 0)
static void format_message(char *out, size_t size, enum mrd_annotation_kind kind,
                           const char *format, va_list args)
{
    const int prefix =
        snprintf(out, size, "PromQL %s: ", kind == MRD_ANNOTATION_WARNING ? "warning" : "info");
    (void)vsnprintf(out + prefix, size - (size_t)prefix, format, args);
}

void mrd_annotations_addf(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                          struct mrd_annotation_place place, const char *format, ...)
{
    char message[MESSAGE_MAX + 32];
    char position[POSITION_MAX];
    char text[sizeof(message) + sizeof(position)];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), kind, format, args);
    va_end(args);
    format_position(annotations->query, place.offset, position, sizeof(position));
    (void)snprintf(text, sizeof(text), "%s%s", message, position);
    const struct mrd_bytes whole = mrd_bytes_of(text);
    add(annotations, kind, whole, whole.size - strlen(position), place.order);
}

void mrd_annotations_count(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                           struct mrd_annotation_place place, size_t occurrences,
                           const char *format, ...)
{
    char message[MESSAGE_MAX + 32];
    char position[POSITION_MAX];
    char text[sizeof(message) + sizeof(position) + OCCURRENCES_MAX];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), kind, format, args);
    va_end(args);
    struct mrd_annotation *at = find(annotations, kind, mrd_bytes_of(message));
    if (at == NULL) {
        memset(text, ' ', sizeof(text)); /* room for any number */
        memcpy(text, message, strlen(message));
        add(annotations, kind, (struct mrd_bytes){(const uint8_t *)text, sizeof(text)},
            strlen(message), place.order);
        at = find(annotations, kind, mrd_bytes_of(message));
        if (at == NULL) {
            return; /* dropped, and counted as that */
        }
        at->offset = place.offset;
    }
    at->occurrences += occurrences;
    format_position(annotations->query, at->offset, position, sizeof(position));
    if (at->occurrences > 1) {
        (void)snprintf(text, sizeof(text), "%s (%zu occurrences)%s", message, at->occurrences,
                       position);
    } else {
        (void)snprintf(text, sizeof(text), "%s%s", message, position);
    }
    at->text.size = strlen(text);
    memcpy((uint8_t *)(uintptr_t)at->text.data, text, at->text.size); /* a copy of ours */
}
