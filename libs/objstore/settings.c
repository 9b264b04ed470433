#include "objstore/settings.h"

#include <unistd.h>

#include "objstore/file_store.h"
#include "objstore/s3_store.h"

enum kind { KIND_FILE, KIND_S3 };
static const char *const kinds[] = {"file", "s3", NULL};

/* In the order of enum mrd_s3_encryption. */
static const char *const encryptions[] = {"none", "AES256", "aws:kms", NULL};

#define TEXT(path_, initial_, doc_)                                                                \
    {                                                                                              \
        .path = (path_), .type = MRD_CONFIG_STRING, .initial = (initial_), .doc = (doc_)           \
    }
#define SECRET(path_, doc_)                                                                        \
    {                                                                                              \
        .path = (path_), .type = MRD_CONFIG_SECRET, .initial = "", .doc = (doc_)                   \
    }
#define CHOICE(path_, choices_, initial_, doc_)                                                    \
    {                                                                                              \
        .path = (path_), .type = MRD_CONFIG_ENUM, .initial = (initial_), .choices = (choices_),    \
        .doc = (doc_)                                                                              \
    }
#define FLAG(path_, initial_, doc_)                                                                \
    {                                                                                              \
        .path = (path_), .type = MRD_CONFIG_BOOL, .initial = (initial_), .doc = (doc_)             \
    }
#define NUMBER(path_, type_, initial_, min_, max_, doc_)                                           \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .min = (min_), .max = (max_),     \
        .doc = (doc_)                                                                              \
    }

const struct mrd_config_key mrd_objstore_settings_keys[MRD_OBJSTORE_SETTINGS_KEYS] = {
    CHOICE("objstore.kind", kinds, "file", "Where blocks are kept: in a folder, or in S3."),
    TEXT("objstore.file.folder", "",
         "Folder of the objects, on one file system with hard links. Empty: there is no object "
         "storage, unless kind is s3."),
    TEXT("objstore.s3.endpoint", "",
         "URL of the service, as https://s3.eu-central-1.amazonaws.com. Required for kind s3."),
    TEXT("objstore.s3.region", "", "Region of the bucket, part of every signature. Required."),
    TEXT("objstore.s3.bucket", "", "Name of the bucket. Required."),
    TEXT("objstore.s3.prefix", "",
         "Beginning of all keys, ending with a slash; empty: the whole bucket is Meridian's."),
    FLAG("objstore.s3.path_style", "false",
         "Address the bucket in the path rather than in the host's name; most services other than "
         "AWS want it."),
    SECRET("objstore.s3.access_key",
           "Access key. Empty: from credentials_file, else from AWS_ACCESS_KEY_ID, "
           "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."),
    SECRET("objstore.s3.secret_key", "Secret key of access_key."),
    SECRET("objstore.s3.session_token", "Session token of access_key; empty: none."),
    TEXT("objstore.s3.credentials_file", "",
         "File in the format of AWS' shared credentials, read again when it changes."),
    TEXT("objstore.s3.credentials_profile", "default", "Section of credentials_file."),
    TEXT("objstore.s3.ca_file", "",
         "Certificates that the service is checked against; empty: the system's."),
    TEXT("objstore.s3.storage_class", "",
         "Storage class of uploaded blocks, as STANDARD_IA; empty: the bucket's default. Small "
         "objects keep the default."),
    CHOICE("objstore.s3.encryption", encryptions, "none",
           "Server-side encryption to ask for. none: the bucket's default."),
    TEXT("objstore.s3.kms_key_id", "",
         "Key for encryption aws:kms; empty: the account's default key."),
    FLAG("objstore.s3.checksums", "true",
         "Send CRC-32C checksums with objects and check those that come back. false: for services "
         "that refuse them."),
    NUMBER("objstore.s3.part_size", MRD_CONFIG_SIZE, "8MiB", 5 << 20, 1 << 30,
           "Part of an upload, and its memory. An object has at most 10,000 parts."),
    NUMBER("objstore.s3.gap_max", MRD_CONFIG_SIZE, "256KiB", 1, 1 << 30,
           "Ranges of an object that are closer than this are read in one request."),
    NUMBER("objstore.s3.requests_max", MRD_CONFIG_INT, "64", 1, 4096,
           "Requests under way at a time in this process; more wait."),
    NUMBER("objstore.s3.ranges_max", MRD_CONFIG_INT, "16", 1, 64,
           "Requests of one read of ranges, or of one put of many objects, at a time."),
    NUMBER("objstore.s3.attempts_max", MRD_CONFIG_INT, "5", 1, 100,
           "Times that a request is sent at most when it fails in a way that may pass."),
    NUMBER("objstore.s3.connect_timeout", MRD_CONFIG_DURATION, "5s", 1, 600000,
           "Time for a connection to be made."),
    NUMBER("objstore.s3.stall_timeout", MRD_CONFIG_DURATION, "15s", 1000, 600000,
           "An attempt that moves less than 1 KiB/s for so long is given up. Whole seconds."),
    NUMBER("objstore.s3.request_timeout", MRD_CONFIG_DURATION, "5m", 1000, 86400000,
           "Time for one attempt as a whole."),
};

static enum mrd_status open_folder(const struct mrd_config *config, struct mrd_metrics *metrics,
                                   struct mrd_objstore **out_store, struct mrd_error *err)
{
    const char *folder = mrd_config_string(config, "objstore.file.folder");
    if (folder[0] == 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "objstore.file.folder: name a folder for the objects, or set objstore.kind "
                        "to s3");
    }
    return mrd_file_store_open(folder, metrics, out_store, err);
}

static struct s3_credentials_options credentials_of(const struct mrd_config *config)
{
    return (struct s3_credentials_options){
        .access_key = mrd_config_string(config, "objstore.s3.access_key"),
        .secret_key = mrd_config_string(config, "objstore.s3.secret_key"),
        .session_token = mrd_config_string(config, "objstore.s3.session_token"),
        .file = mrd_config_string(config, "objstore.s3.credentials_file"),
        .profile = mrd_config_string(config, "objstore.s3.credentials_profile"),
        .environment = environ,
    };
}

static enum mrd_status open_s3(const struct mrd_config *config, struct mrd_metrics *metrics,
                               struct mrd_objstore **out_store, struct mrd_error *err)
{
    const struct mrd_s3_options options = {
        .endpoint = mrd_config_string(config, "objstore.s3.endpoint"),
        .region = mrd_config_string(config, "objstore.s3.region"),
        .bucket = mrd_config_string(config, "objstore.s3.bucket"),
        .prefix = mrd_config_string(config, "objstore.s3.prefix"),
        .path_style = mrd_config_bool(config, "objstore.s3.path_style"),
        .credentials = credentials_of(config),
        .ca_file = mrd_config_string(config, "objstore.s3.ca_file"),
        .storage_class = mrd_config_string(config, "objstore.s3.storage_class"),
        .encryption = (enum mrd_s3_encryption)mrd_config_enum(config, "objstore.s3.encryption"),
        .kms_key_id = mrd_config_string(config, "objstore.s3.kms_key_id"),
        .checksums_off = !mrd_config_bool(config, "objstore.s3.checksums"),
        .part_size = (size_t)mrd_config_size(config, "objstore.s3.part_size"),
        .gap_max = (size_t)mrd_config_size(config, "objstore.s3.gap_max"),
        .requests_max = (size_t)mrd_config_int(config, "objstore.s3.requests_max"),
        .ranges_max = (size_t)mrd_config_int(config, "objstore.s3.ranges_max"),
        .attempts_max = (unsigned)mrd_config_int(config, "objstore.s3.attempts_max"),
        .connect_timeout_ms = mrd_config_duration(config, "objstore.s3.connect_timeout"),
        .stall_timeout_ms = mrd_config_duration(config, "objstore.s3.stall_timeout"),
        .request_timeout_ms = mrd_config_duration(config, "objstore.s3.request_timeout"),
        .metrics = metrics,
    };
    return mrd_s3_store_open(&options, out_store, err);
}

bool mrd_objstore_settings_given(const struct mrd_config *config)
{
    return mrd_config_enum(config, "objstore.kind") == KIND_S3 ||
           mrd_config_string(config, "objstore.file.folder")[0] != '\0';
}

enum mrd_status mrd_objstore_settings_open(const struct mrd_config *config,
                                           struct mrd_metrics *metrics,
                                           struct mrd_objstore **out_store, struct mrd_error *err)
{
    return mrd_config_enum(config, "objstore.kind") == KIND_S3
               ? open_s3(config, metrics, out_store, err)
               : open_folder(config, metrics, out_store, err);
}
