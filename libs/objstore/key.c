#include "objstore/key.h"

static bool is_safe(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!-_.*'()=", c) != NULL);
}

/* NULL, or what is wrong. `open` is for a prefix, whose last segment may be empty. */
static const char *fault_of(struct mrd_bytes key, bool open)
{
    if (key.size > MRD_OBJSTORE_KEY_SIZE_MAX) {
        return "is too long";
    }
    size_t segment = 0; /* bytes of the current one */
    for (size_t i = 0; i < key.size; i++) {
        const uint8_t c = key.data[i];
        if (c == '/') {
            if (segment == 0) {
                return "has an empty segment";
            }
            segment = 0;
            continue;
        }
        if (!is_safe(c)) {
            return "has a byte that is none of letters, digits, / and !-_.*'()=";
        }
        if (segment == 0 && c == '.') {
            return "has a segment that begins with a dot";
        }
        segment++;
        if (segment > MRD_OBJSTORE_SEGMENT_SIZE_MAX) {
            return "has a segment of more than 255 bytes";
        }
    }
    return segment == 0 && !open ? "is empty or ends with a slash" : NULL;
}

static enum mrd_status check(const char *text, bool open, struct mrd_error *err)
{
    const struct mrd_bytes key = {(const uint8_t *)text,
                                  strnlen(text, MRD_OBJSTORE_KEY_SIZE_MAX + 1)};
    const char *fault = fault_of(key, open);
    if (fault == NULL) {
        return MRD_OK;
    }
    char shown[64]; /* a key comes from outside sometimes: printable bytes only */
    size_t size = 0;
    for (; size < key.size && size < sizeof(shown) - 1; size++) {
        const uint8_t c = key.data[size];
        shown[size] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    shown[size] = 0;
    return mrd_fail(err, MRD_E_INVALID, "object %s \"%s\"%s %s", open ? "prefix" : "key", shown,
                    size < key.size ? "..." : "", fault);
}

enum mrd_status mrd_objstore_key_check(const char *key, struct mrd_error *err)
{
    return check(key, false, err);
}

enum mrd_status mrd_objstore_prefix_check(const char *prefix, struct mrd_error *err)
{
    return check(prefix, true, err);
}

bool mrd_objstore_key_valid(struct mrd_bytes key) { return fault_of(key, false) == NULL; }
