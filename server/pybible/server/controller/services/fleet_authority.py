"""fleet_authority: the calls of FleetService that are about the certificate authority."""

from __future__ import annotations

from datetime import timedelta

import grpc

from pybible.server.controller.pki.authority import RootKeyMissing, renewal_of
from pybible.server.controller.pki.rotation import InUse
from pybible.server.controller.pki.signing import CLOCK_SKEW, CertificateRequestRefused
from pybible.server.controller.services.fleet_part import Context, FleetPart, moment
from pybible.v1 import fleet_pb2
from pybible.wire.errors import PybibleError, UsageError
from pybible.wire.identity import Role


class AuthorityCalls(FleetPart):
    """Says what the fleet's certificates stand on; rotates and retires issuing authorities."""

    async def DescribeAuthority(
        self,
        request: fleet_pb2.DescribeAuthorityRequest,
        context: Context[fleet_pb2.DescribeAuthorityRequest, fleet_pb2.DescribeAuthorityResponse],
    ) -> fleet_pb2.DescribeAuthorityResponse:
        """Return the root, the issuing authorities and the certificate of the ports."""
        await self._access.require(context, "pybible.v1.FleetService/DescribeAuthority")
        authority = self._rotation.authority
        return fleet_pb2.DescribeAuthorityResponse(
            pin=authority.pin,
            root=authority.certificate_pem,
            root_expires=moment(authority.root.not_valid_after_utc.timestamp()),
            has_root_key=authority.has_root_key,
            issuing=map(_issuing, self._rotation.in_use()),
            issuing_renewal=moment(renewal_of(authority.issuing).timestamp()),
            server_expires=moment(authority.server_certificate.not_valid_after_utc.timestamp()),
            server_renewal=moment(renewal_of(authority.server_certificate).timestamp()),
            warnings=self._rotation.warnings(),
        )

    async def RequestIssuing(
        self,
        request: fleet_pb2.RequestIssuingRequest,
        context: Context[fleet_pb2.RequestIssuingRequest, fleet_pb2.RequestIssuingResponse],
    ) -> fleet_pb2.RequestIssuingResponse:
        """Make the key of the next issuing authority, for the root to certify elsewhere."""
        await self._access.require(context, "pybible.v1.FleetService/RequestIssuing")
        response = fleet_pb2.RequestIssuingResponse(csr=self._rotation.authority.request_issuing())
        response.lifetime.FromTimedelta(timedelta(seconds=self._rotation.lifetime.total_seconds()))
        return response

    async def RotateAuthority(
        self,
        request: fleet_pb2.RotateAuthorityRequest,
        context: Context[fleet_pb2.RotateAuthorityRequest, fleet_pb2.RotateAuthorityResponse],
    ) -> fleet_pb2.RotateAuthorityResponse:
        """Go over to another issuing authority."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RotateAuthority")
        former = self._rotation.authority.issuing.serial_number
        try:
            asked = await self._rotation.rotate(request.certificate)
        except RootKeyMissing as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except (PybibleError, CertificateRequestRefused) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        issuing = self._rotation.authority.issuing
        self._access.note(caller, "authority.rotate", f"{issuing.serial_number:x}", former=f"{former:x}")
        return fleet_pb2.RotateAuthorityResponse(
            serial=f"{issuing.serial_number:x}",
            expires=moment(issuing.not_valid_after_utc.timestamp()),
            agents=asked,
        )

    async def RetireAuthority(
        self,
        request: fleet_pb2.RetireAuthorityRequest,
        context: Context[fleet_pb2.RetireAuthorityRequest, fleet_pb2.RetireAuthorityResponse],
    ) -> fleet_pb2.RetireAuthorityResponse:
        """Refuse what one that was replaced has signed; several are retired one by one."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RetireAuthority")
        response = fleet_pb2.RetireAuthorityResponse()
        try:
            for serial in self._named(request.serial):
                out = await self._rotation.retire(serial, force=request.force)
                self._access.note(caller, "authority.retire", f"{serial:x}", shut_out=sorted(each.uri for each in out))
                for identity in out:
                    if identity.role is Role.OPERATOR:
                        self._runs.interrupt(identity.uri, "the operator's certificate was revoked")
                response.serials.append(f"{serial:x}")
                response.shut_out += len(out)
        except PybibleError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return response

    def _named(self, serial: str) -> list[int]:
        """Return the serial number that was meant, or all that were replaced."""
        if not serial:
            found = [each.serial_number for each in self._rotation.authority.former()]
            if not found:
                raise UsageError("no issuing authority was replaced")
            return found
        try:
            return [int(serial, 16)]
        except ValueError as error:
            raise UsageError(f"{serial[:80]!r} is not a serial number") from error


def _issuing(found: InUse) -> fleet_pb2.IssuingAuthority:
    certificate = found.certificate
    return fleet_pb2.IssuingAuthority(
        serial=f"{certificate.serial_number:x}",
        issued=moment((certificate.not_valid_before_utc + CLOCK_SKEW).timestamp()),
        expires=moment(certificate.not_valid_after_utc.timestamp()),
        signs=found.signs,
        agents=found.count(Role.AGENT),
        operators=found.count(Role.OPERATOR),
    )
