# SPDX-License-Identifier: Apache-2.0
"""A throw-away machine to test in: what it is made of, how it boots, the suite that runs in it."""
