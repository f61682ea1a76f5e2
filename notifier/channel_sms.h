/*
 * The channel that pushes outcomes as short messages, through the provider of the configuration. It takes no more in hand
 * than it may call at once, so a provider that hangs delays nothing but other short messages.
 */
#ifndef NOTIFIER_CHANNEL_SMS_H
#define NOTIFIER_CHANNEL_SMS_H

#include "notifier/channel.h"

extern const struct channel channel_sms;

#endif
