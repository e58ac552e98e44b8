"""What is measured of selling a language model that others run: gateways before one upstream."""
