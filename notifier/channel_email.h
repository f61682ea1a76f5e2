/*
 * The channel "email": writes an outcome to the address of its target, {"to": …, "template": …}, through the configured
 * SMTP server. The row's id makes the Message-ID of every attempt.
 */
#ifndef NOTIFIER_CHANNEL_EMAIL_H
#define NOTIFIER_CHANNEL_EMAIL_H

#include "notifier/channel.h"

extern const struct channel channel_email;

#endif
