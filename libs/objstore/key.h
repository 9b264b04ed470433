/* key.h: which keys object storage takes. The strictest of what S3, file systems and the readers of
 * published tables take, so that a key means the same everywhere and is a path without any escaping:
 *   - 1 to MRD_OBJSTORE_KEY_SIZE_MAX bytes: letters, digits and !-_.*'()= in segments between single '/'
 *   - a segment has 1 to 255 bytes and does not begin with '.' (so there is no "..", and names that
 *     begin with a dot are left to the stores)
 * Tenant names (model/tenant.h) are segments, but for those that begin with a dot.
 * A key must not be the folder of another ("a" beside "a/b"): the file system refuses the second.
 *
 * Threads: pure functions.
 */
#ifndef MRD_OBJSTORE_KEY_H
#define MRD_OBJSTORE_KEY_H

#include <stdbool.h>

#include "base/bytes.h"

enum {
    MRD_OBJSTORE_KEY_SIZE_MAX =
        700, /* S3 has 1024; the rest is for a prefix of the bucket's owner */
    MRD_OBJSTORE_SEGMENT_SIZE_MAX = 255
};

/* MRD_E_INVALID names the key and what is wrong with it. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_key_check(const char *key, struct mrd_error *err);

/* The same for the beginning of a key: "", "a/", "a/b" and "a/b." are fine. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_prefix_check(const char *prefix, struct mrd_error *err);

/* True if the bytes are a key by the rules above. */
bool mrd_objstore_key_valid(struct mrd_bytes key);

#endif
