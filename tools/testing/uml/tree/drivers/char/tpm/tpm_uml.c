// SPDX-License-Identifier: GPL-2.0
/*
 * The TPM of a test guest under User-Mode Linux: a UNIX socket of the host,
 * at the other end of which a software TPM takes commands and answers them.
 *
 * It is built in and registered before the late initcalls, so that IMA finds
 * it as it would find a chip.
 */

#include <linux/module.h>
#include <linux/platform_device.h>
#include <os.h>
#include "tpm.h"

static char socket[108]; /* as long as an address can be */
module_param_string(socket, socket, sizeof(socket), 0444);
MODULE_PARM_DESC(socket, "path of the software TPM's socket on the host");

/*
 * A signal of the host interrupts the system call, not the command: a TPM
 * whose answer is not read to its end is out of step for good.
 */
static int tpm_uml_write(int fd, const u8 *data, size_t len)
{
	while (len) {
		int done = os_write_file(fd, data, len);

		if (done == -EINTR || done == -EAGAIN)
			continue;
		if (done < 0)
			return done;
		data += done;
		len -= done;
	}
	return 0;
}

static int tpm_uml_read(int fd, u8 *data, size_t len)
{
	while (len) {
		int done = os_read_file(fd, data, len);

		if (done == -EINTR || done == -EAGAIN)
			continue;
		if (done <= 0)
			return done ?: -EIO;
		data += done;
		len -= done;
	}
	return 0;
}

static int tpm_uml_send(struct tpm_chip *chip, u8 *buf, size_t size, size_t len)
{
	struct tpm_header *header = (struct tpm_header *)buf;
	int fd = (long)dev_get_drvdata(&chip->dev);
	size_t answer;
	int ret;

	ret = tpm_uml_write(fd, buf, len);
	if (ret)
		return ret;
	ret = tpm_uml_read(fd, buf, TPM_HEADER_SIZE);
	if (ret)
		return ret;
	answer = be32_to_cpu(header->length);
	if (answer < TPM_HEADER_SIZE || answer > size)
		return -EIO;
	ret = tpm_uml_read(fd, buf + TPM_HEADER_SIZE, answer - TPM_HEADER_SIZE);
	return ret ?: answer;
}

static const struct tpm_class_ops tpm_uml_ops = {
	.flags = TPM_OPS_AUTO_STARTUP,
	.send = tpm_uml_send,
};

static int tpm_uml_probe(struct platform_device *pdev)
{
	struct tpm_chip *chip;
	int fd, ret;

	chip = tpmm_chip_alloc(&pdev->dev, &tpm_uml_ops);
	if (IS_ERR(chip))
		return PTR_ERR(chip);
	fd = os_connect_socket(socket);
	if (fd < 0)
		return dev_err_probe(&pdev->dev, fd, "cannot connect to %s\n", socket);
	chip->flags |= TPM_CHIP_FLAG_TPM2 | TPM_CHIP_FLAG_SYNC;
	dev_set_drvdata(&chip->dev, (void *)(long)fd);
	ret = tpm_chip_register(chip);
	if (ret)
		os_close_file(fd);
	return ret;
}

static void tpm_uml_remove(struct platform_device *pdev)
{
	struct tpm_chip *chip = platform_get_drvdata(pdev);

	tpm_chip_unregister(chip);
	os_close_file((long)dev_get_drvdata(&chip->dev));
}

static struct platform_driver tpm_uml_driver = {
	.probe = tpm_uml_probe,
	.remove = tpm_uml_remove,
	.driver = { .name = "tpm_uml" },
};

static int __init tpm_uml_init(void)
{
	int ret;

	if (!*socket)
		return 0;
	ret = platform_driver_register(&tpm_uml_driver);
	if (ret)
		return ret;
	return PTR_ERR_OR_ZERO(platform_device_register_simple("tpm_uml", -1, NULL, 0));
}
device_initcall(tpm_uml_init);
